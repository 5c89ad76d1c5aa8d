"""Operations on the nodes of a configuration, faster than OmegaConf's public ones and with the same results.

They use private attributes of OmegaConf's nodes; tests/test_composition.py compares the results with Hydra's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import AnyNode, DictConfig, ValueNode
from omegaconf.base import Metadata, Node
from omegaconf.grammar_parser import parse

# Interpolations on which values have no influence, other than through what is inside them: resolvers that depend only
# on their arguments, and references to the hydra node, except where Hydra writes the overrides
_RESOLVER = re.compile(r"\$\{(now|mlxp_run_number|oc\.env):.*\}", re.DOTALL)
_REFERENCE = re.compile(r"\$\{hydra[.:](?!overrides|job\.override_dirname)([\w.]+)\}")
_NUMBER = "${hydra.job.num}"
# Resolved values are cached at the root of a configuration, which is never a value: this cache stays empty
_NO_CACHE: defaultdict[str, Any] = defaultdict(dict)
# _metadata, _parent, _flags_cache, _val
_PLAIN_ATTRIBUTES = 4


def node_at(config: DictConfig, key: str) -> Any:
    """Return the node at a key, None without one or if an interpolation leads there. OmegaConf.select takes 50 us."""
    node: Any = config
    for name in key.split("."):
        content = node.__dict__.get("_content")
        node = content.get(name) if isinstance(content, dict) else None
        if node is None:
            return None
    return node


def is_fixed(node: Node | None, config: DictConfig) -> bool:
    """Return whether a value is the same in all jobs of a sweep, except for the job's number."""
    if not isinstance(node, ValueNode) or node._is_missing():
        return False
    return not node._is_interpolation() or _is_tree_fixed(parse(node._value()), config)


def _is_tree_fixed(tree: Any, config: DictConfig) -> bool:
    if type(tree).__name__ == "InterpolationNodeContext" or type(tree).__name__ == "InterpolationResolverContext":
        text = tree.getText()
        reference = _REFERENCE.fullmatch(text)
        if reference:
            return is_fixed(node_at(config, f"hydra.{reference[1]}"), config)
        if not _RESOLVER.fullmatch(text):
            return False
    return all(_is_tree_fixed(child, config) for child in getattr(tree, "children", None) or ())


def interpolation_of(node: Any) -> Any:
    """Return the parsed interpolation of a value, None without one; OmegaConf parses it anew at each access."""
    text = str(node._value())
    is_plain = not node._is_interpolation() or ("$" not in text.replace(_NUMBER, "") and "\\" not in text)
    return None if is_plain else parse(text)


def value_of(node: Any, tree: Any, number: int) -> Any:
    """Resolve a value as OmegaConf does.

    Args:
        node: The value.
        tree: Its parsed interpolation, from `interpolation_of`.
        number: Number of the job.
    """
    if tree is None:
        return node._value() and node._value().replace(_NUMBER, str(number))
    parent = node._get_parent()
    return parent._resolve_interpolation_from_parse_tree(parent, node, node._key(), tree, True, set())._value()


def set_number(config: DictConfig, override: Override) -> bool:
    """Apply an override that changes a plain value to a number, as OmegaConf does; return False for any other."""
    value = override._value
    if override.type is not OverrideType.CHANGE or override.package or type(value) not in (int, float, bool):
        return False
    node: Any = node_at(config, override.key_or_group)
    if type(node) is not AnyNode or cast(Any, node)._get_parent()._get_flag("readonly"):
        return False
    node._set_value(value)
    return True


def copy_config(config: DictConfig) -> DictConfig:
    """Return the same as copy.deepcopy(config), ten times faster: values are shared, because none of them changes."""
    return cast(DictConfig, copy_node(config, None))


def copy_node(node: Any, parent: Any) -> Any:
    """Return a copy of a node, and of all nodes below it, for another parent."""
    new: Any = object.__new__(type(node))
    old = node._metadata
    flags = old.flags.copy() if old.flags else {}
    attributes = node.__dict__
    if "_content" not in attributes:
        # Attributes that are set one by one take half the memory of an updated __dict__, and most nodes are values
        if len(attributes) > _PLAIN_ATTRIBUTES:  # an enum knows its type
            new.__dict__.update(attributes)
        new._metadata = Metadata(old.ref_type, old.object_type, old.optional, old.key, flags, old.flags_root, _NO_CACHE)
        new._parent, new._flags_cache, new._val = parent, None, node._val
        return new
    metadata = object.__new__(type(old))
    metadata.__dict__.update(old.__dict__)
    metadata.flags = flags
    metadata.resolver_cache = defaultdict(dict)
    # Without a cache, flags are looked up again
    new.__dict__.update(attributes, _metadata=metadata, _parent=parent, _flags_cache=None)
    content = attributes["_content"]
    if isinstance(content, dict):
        new.__dict__["_content"] = {key: copy_node(value, new) for key, value in content.items()}
    elif isinstance(content, (list, tuple)):
        new.__dict__["_content"] = type(content)([copy_node(value, new) for value in content])
    elif isinstance(content, Node):
        new.__dict__["_content"] = copy_node(content, new)
    return new
