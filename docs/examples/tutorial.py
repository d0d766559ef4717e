"""From two images to a map that a GIS opens, step by step, in one process.

    python docs/examples/tutorial.py [OUT [CHECKPOINT]]

Each part between `# %%` lines is a cell; editors that know them (VS Code, Spyder, Jupyter with jupytext) run
them one by one.
"""

# %% The model. It is loaded once, and answers as many questions as one likes.
import sys
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

import gateway
from gateway.detection import Click
from gateway.embedded import build_pipeline
from gateway.images import read_pair
from gateway.outputs import Source, write_results
from gateway.scenes import ScenePair, SceneSettings, run_scene

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("tutorial-out")
pipeline = build_pipeline(Path(sys.argv[2]) if len(sys.argv) > 2 else None)

# %% Two images of one place: the pair that comes along. It is drawn, so it shows nobody's land.
sample = Path(gateway.__file__).parent / "server" / "samples" / "new-buildings"
t1, t2 = sample / "t1.png", sample / "t2.png"
pair = read_pair(t1, t2)
print("two dates, rows, columns, colours:", pair.images.shape)

# %% A question in plain words. Read first what was understood.
question = "Where did people get more living space?"
(found,) = pipeline.detect(pair.images, [question])
print(found.answer)

# %% How sure it is: that the change is there at all, and how well the map is expected to fit.
print(f"presence {found.presence:.2f}")
print("confidence", "none: the map is empty" if found.confidence is None else f"{found.confidence:.2f}")

# %% The map is made of probabilities. Another threshold needs no model.
for threshold in (0.3, found.threshold, 0.7):
    share = float((found.probability >= threshold).mean())
    print(f"at {threshold:.2f}: {share:.1%} of the area")

# %% Places, largest first.
for place in found.places.drawn[:3]:
    print(f"{place.area_px} pixels, mean probability {place.mean_probability:.2f}")

# %% A second question about the same pair: what the images say is kept, so it is answered sooner.
(dried,) = pipeline.detect(pair.images, ["Where did a lake or pond dry up?"])
print(dried.answer)

# %% A correction: a click says what did, or did not, change. The question keeps the meaning that it had.
height, width = found.change_map.shape
click = Click(x=width / 2, y=height / 2, changed=True)
(corrected,) = pipeline.detect(pair.images, [question], meanings=[found.meaning], clicks=[click])
moved = int((corrected.change_map != found.change_map).sum())
print(f"the click moved {moved} pixels of the map")

# %% Files: maps as PNG, polygons as GeoJSON, figures as JSON.
write_results(out / "pair", Source(t1=str(t1), t2=str(t2)), pair, [found, dried])
print("see", out / "pair")

# %% A whole scene: GeoTIFFs of any size. Here the same place, put somewhere on the Earth.
scenes = []
for path in (t1, t2):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    scenes.append(out / f"{path.stem}.tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width}
    place_on_earth = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)}
    with rasterio.open(scenes[-1], "w", **profile, **place_on_earth) as sink:
        sink.write(pixels.transpose(2, 0, 1))

# %% It is worked on tile by tile. Stopped, and given the same folder again, it goes on where it was.
with ScenePair.open(*scenes) as scene:
    result = run_scene(pipeline, scene, question, settings=SceneSettings(), folder=out / "scene")
print(result.answer)
print("for QGIS:", *sorted(path.name for path in (out / "scene").iterdir() if path.is_file()))
