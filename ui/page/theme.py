"""Gradio theme with the colours and fonts of the page; the values match `static/css/page.css`."""

from __future__ import annotations

import gradio as gr


def theme() -> gr.themes.Base:
    """Return the theme. It uses no web fonts, so that the page works offline."""
    colors = {
        "body_background_fill": "#faf9f6",
        "body_background_fill_dark": "#111214",
        "body_text_color": "#1d1c1a",
        "body_text_color_dark": "#f1efeb",
        "body_text_color_subdued": "#706c65",
        "body_text_color_subdued_dark": "#98948c",
        "background_fill_primary": "#ffffff",
        "background_fill_primary_dark": "#191b1e",
        "background_fill_secondary": "#f4f2ee",
        "background_fill_secondary_dark": "#212327",
        "block_background_fill": "#ffffff",
        "block_background_fill_dark": "#191b1e",
        "block_border_width": "0px",
        "block_shadow": "none",
        "block_label_text_color": "#1d1c1a",
        "block_label_text_color_dark": "#f1efeb",
        "block_title_text_color": "#1d1c1a",
        "block_title_text_color_dark": "#f1efeb",
        "block_title_text_weight": "550",
        "block_title_text_size": "14px",
        "block_info_text_color": "#706c65",
        "block_info_text_color_dark": "#98948c",
        "block_info_text_size": "13px",
        "border_color_primary": "#e6e3dc",
        "border_color_primary_dark": "#2b2d31",
        "input_background_fill": "#ffffff",
        "input_background_fill_dark": "#191b1e",
        "input_border_color": "#d3cfc6",
        "input_border_color_dark": "#43464c",
        "input_border_color_focus": "#3b5bdb",
        "input_border_color_focus_dark": "#8ea2ff",
        "input_radius": "10px",
        "input_shadow": "none",
        "input_text_size": "14.5px",
        "slider_color": "#1d1c1a",
        "slider_color_dark": "#f1efeb",
        "color_accent": "#1d1c1a",
        "color_accent_soft": "#f4f2ee",
        "color_accent_soft_dark": "#2b2d31",
    }
    base = gr.themes.Base(
        primary_hue="stone",
        secondary_hue="stone",
        neutral_hue="stone",
        font=["Inter Variable", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return base.set(**colors)
