"""The policies' descriptions that are read without torch are those of the classes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hermes.errors import HermesError
from hermes.policies import POLICIES, Policy, register_policy, unregister_policy
from hermes.policies.listing import FILE, PolicyListing, describe_builtin


def test_the_committed_listing_describes_the_classes():
    listed = json.loads(FILE.read_text("utf-8"))
    assert listed == json.loads(json.dumps(describe_builtin())), "run python -m hermes.policies.listing"


def test_a_registered_policy_is_listed():
    @register_policy
    class KeepNothing(Policy):
        """Keeps no video token."""

        def after_encode(self, step):
            return self.retain(step, [None] * len(step.cache.layers))

    try:
        assert PolicyListing()["keep-nothing"].about == "Keeps no video token."
        assert list(PolicyListing()) == list(POLICIES)
    finally:
        unregister_policy("keep-nothing")
    with pytest.raises(HermesError, match="no policy “keep-nothing”"):
        PolicyListing().require("keep-nothing")


def test_listing_and_presets_need_no_torch():
    code = (
        "import sys; from hermes.policies.listing import PolicyListing; from hermes.policies.presets import PRESETS;"
        "from hermes.backbones.catalogue import CATALOGUE;"
        "assert len(PolicyListing()) > 20 and PRESETS and CATALOGUE; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
