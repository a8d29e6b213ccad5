"""What the package offers to napari."""

from importlib.metadata import entry_points

import pytest

npe2 = pytest.importorskip("npe2")


def test_the_manifest_is_found_and_valid() -> None:
    assert "image-translation" in {entry.name for entry in entry_points(group="napari.manifest")}
    manifest = npe2.PluginManifest.from_distribution("image-translation")
    contributed = manifest.contributions
    assert [widget.display_name for widget in contributed.widgets] == ["Stain and smooth", "Score card"]
    assert [sample.key for sample in contributed.sample_data] == ["demo_movie"]
    used = {item.command for item in (*contributed.widgets, *contributed.sample_data)}
    assert used == {command.id for command in contributed.commands}
