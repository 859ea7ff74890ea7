import assert from "node:assert/strict";
import test from "node:test";
import { groups, summary } from "../js/page/policy_settings.js";

const number = (name, label, about = "Weight.") => ({ name, label, about, kind: "number" });
const SETTINGS = [
  { name: "smoothing", label: "Smoothing", about: "Smooths.", kind: "switch" },
  number("alpha_sensory", "α sensory"), number("alpha_working", "α working"),
  number("k_sensory", "k sensory", "Speed."), number("seed", "Seed", "Lots."),
  { name: "prompt", label: "Prompt", about: "Asks.", kind: "text" },
  { name: "tiers", label: "Tiers", about: "Rules.", kind: "choice" },
];

test("settings are grouped: choices, numbers by symbol, texts", () => {
  const names = groups(SETTINGS).map((group) => group.settings.map((setting) => setting.name));
  assert.deepEqual(names, [["smoothing", "tiers"], ["alpha_sensory", "alpha_working"], ["k_sensory"], ["seed"], ["prompt"]]);
  assert.deepEqual(groups([]), []);
});

test("the closed box lists the changed settings", () => {
  const policy = { title: "HERMES" };
  assert.equal(summary({ policy, settings: [], changed: [] }), "HERMES has no settings");
  assert.equal(summary({ policy, settings: SETTINGS, changed: [], defaults: "the paper’s values" }), "HERMES with the paper’s values");
  const changed = ["a", "b", "c", "d"].map((label) => ({ label, words: "1" }));
  assert.equal(summary({ policy, settings: SETTINGS, changed: changed.slice(0, 1) }), "a: 1");
  assert.equal(summary({ policy, settings: SETTINGS, changed }), "a: 1, b: 1, c: 1 …");
});
