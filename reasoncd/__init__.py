"""The ground floor of ReasonCD: what every part shares and none of it needs torch.

Holds the ontology of land-cover changes, the ports between the pipeline and the three
services, the tensor container that crosses them, errors, configuration and the checkpoint
format. It does not know how any model works.
"""

__version__ = "0.1.0"
