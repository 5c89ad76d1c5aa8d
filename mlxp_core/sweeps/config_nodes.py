"""Nodes of a configuration, by shorter ways than OmegaConf's public ones, which end at the same place.

They use attributes of OmegaConf's nodes that are not public; tests/test_composition.py compares what comes out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import AnyNode, DictConfig, ValueNode
from omegaconf.base import Metadata, Node
from omegaconf.grammar_parser import parse

# Interpolations that values have no part in, but through what is inside them: resolvers that look at their arguments
# alone, and references to the hydra node, other than where Hydra writes the overrides
_RESOLVER = re.compile(r"\$\{(now|mlxp_run_number|oc\.env):.*\}", re.DOTALL)
_REFERENCE = re.compile(r"\$\{hydra[.:](?!overrides|job\.override_dirname)([\w.]+)\}")
_NUMBER = "${hydra.job.num}"
# Resolved values are kept at a configuration's root, which a value cannot be: this one stays empty
_NO_CACHE: defaultdict[str, Any] = defaultdict(dict)
# _metadata, _parent, _flags_cache, _val
_PLAIN_ATTRIBUTES = 4


def node_at(config: DictConfig, key: str) -> Any:
    """The node at a key, None if there is none or only through an interpolation. OmegaConf's own way takes 50 us."""
    node: Any = config
    for name in key.split("."):
        content = node.__dict__.get("_content")
        node = content.get(name) if isinstance(content, dict) else None
        if node is None:
            return None
    return node


def is_resolved(node: Node | None, config: DictConfig) -> bool:
    """Whether what a value says depends on no value that a job can have, besides its number."""
    if not isinstance(node, ValueNode) or node._is_missing():
        return False
    return not node._is_interpolation() or _is_tree_resolved(parse(node._value()), config)


def _is_tree_resolved(tree: Any, config: DictConfig) -> bool:
    if type(tree).__name__ == "InterpolationNodeContext" or type(tree).__name__ == "InterpolationResolverContext":
        text = tree.getText()
        reference = _REFERENCE.fullmatch(text)
        if reference:
            return is_resolved(node_at(config, f"hydra.{reference[1]}"), config)
        if not _RESOLVER.fullmatch(text):
            return False
    return all(_is_tree_resolved(child, config) for child in getattr(tree, "children", None) or ())


def interpolation_of(node: Any) -> Any:
    """A value's interpolation, which OmegaConf parses anew each time that it is asked for; None if there is none."""
    text = str(node._value())
    is_plain = not node._is_interpolation() or ("$" not in text.replace(_NUMBER, "") and "\\" not in text)
    return None if is_plain else parse(text)


def value_of(node: Any, tree: Any, number: int) -> Any:
    """What OmegaConf makes of a value whose interpolation is `tree`."""
    if tree is None:
        return node._value() and node._value().replace(_NUMBER, str(number))
    parent = node._get_parent()
    return parent._resolve_interpolation_from_parse_tree(parent, node, node._key(), tree, True, set())._value()


def set_number(config: DictConfig, override: Override) -> bool:
    """Whether an override gives another number to a plain value, and that is done, as OmegaConf does in the end."""
    value = override._value
    if override.type is not OverrideType.CHANGE or override.package or type(value) not in (int, float, bool):
        return False
    node: Any = node_at(config, override.key_or_group)
    if type(node) is not AnyNode or cast(Any, node)._get_parent()._get_flag("readonly"):
        return False
    node._set_value(value)
    return True


def copy_config(config: DictConfig) -> DictConfig:
    """The same as copy.deepcopy(config), ten times faster: values are shared, because none of them can change."""
    return cast(DictConfig, copy_node(config, None))


def copy_node(node: Any, parent: Any) -> Any:
    new: Any = object.__new__(type(node))
    old = node._metadata
    flags = old.flags.copy() if old.flags else {}
    attributes = node.__dict__
    if "_content" not in attributes:
        # Attributes that are set one by one, and not in a __dict__, take half the memory: most nodes are values
        if len(attributes) > _PLAIN_ATTRIBUTES:  # an enum knows its type
            new.__dict__.update(attributes)
        new._metadata = Metadata(old.ref_type, old.object_type, old.optional, old.key, flags, old.flags_root, _NO_CACHE)
        new._parent, new._flags_cache, new._val = parent, None, node._val
        return new
    metadata = object.__new__(type(old))
    metadata.__dict__.update(old.__dict__)
    metadata.flags = flags
    metadata.resolver_cache = defaultdict(dict)
    # Flags are looked up again when they are asked for
    new.__dict__.update(attributes, _metadata=metadata, _parent=parent, _flags_cache=None)
    content = attributes["_content"]
    if isinstance(content, dict):
        new.__dict__["_content"] = {key: copy_node(value, new) for key, value in content.items()}
    elif isinstance(content, (list, tuple)):
        new.__dict__["_content"] = type(content)([copy_node(value, new) for value in content])
    elif isinstance(content, Node):
        new.__dict__["_content"] = copy_node(content, new)
    return new
