"""Official weights, brought in once: SAM, CLIP, ResNet34 and LLaMA2 files, checked key by key.

One module a kind of file. Pickles are read here and in `training.importers.imagenet` alone, with
`weights_only=True`; what training and serving read afterwards is safetensors.
"""

from training.importers.clip import import_clip
from training.importers.llama import convert_llama2, install_llama2
from training.importers.resnet import import_resnet34
from training.importers.sam import import_sam

__all__ = ["convert_llama2", "import_clip", "import_resnet34", "import_sam", "install_llama2"]
