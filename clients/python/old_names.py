"""Lets riak 2.7.0, written for older Pythons, be imported by a new one.

Put beside the library with a .pth file that imports it, so that it comes before anything else. It puts back names that the standard library has
dropped since: the abstract classes that were in `collections` itself, `inspect.getargspec`, two functions of `base64`, and the
argument `verbose` of `namedtuple`, which printed the class's source and is left out here.
"""

import base64
import collections
import collections.abc
import inspect
import sys


def _give_back(module, name, value):
    if not hasattr(module, name):
        setattr(module, name, value)


for _name in collections.abc.__all__:
    _give_back(collections, _name, getattr(collections.abc, _name))
_give_back(inspect, "getargspec", inspect.getfullargspec)
_give_back(base64, "encodestring", base64.encodebytes)
_give_back(base64, "decodestring", base64.decodebytes)

_namedtuple = collections.namedtuple


def _without_verbose(*positional, **named):
    named.pop("verbose", None)
    # The class belongs to whoever asked for it, not to this module.
    caller = sys._getframe(1).f_globals.get("__name__", "__main__")
    named.setdefault("module", caller)
    return _namedtuple(*positional, **named)


collections.namedtuple = _without_verbose
