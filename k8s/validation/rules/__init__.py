"""What this project asks of manifests beyond their schemas, one subject a module.

Each rule takes all objects and yields problems.
"""

from collections.abc import Callable, Iterable, Sequence

from k8s.validation.objects import Object, Problem
from k8s.validation.rules.availability import check_availability
from k8s.validation.rules.images import check_images
from k8s.validation.rules.network import check_network
from k8s.validation.rules.references import check_references
from k8s.validation.rules.resources import check_resources
from k8s.validation.rules.secrets import check_secrets
from k8s.validation.rules.security import check_security
from k8s.validation.rules.storage import check_storage
from k8s.validation.rules.tls import check_tls

RULES: tuple[Callable[[Sequence[Object]], Iterable[Problem]], ...] = (
    check_security,
    check_images,
    check_resources,
    check_secrets,
    check_storage,
    check_references,
    check_availability,
    check_network,
    check_tls,
)
