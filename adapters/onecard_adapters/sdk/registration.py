"""Takes what generated ``add_…Servicer_to_server`` functions register, as a gRPC server would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from onecard_adapters.runtime.processing import Handler
from onecard_protocol.methods import Method


class Servicers:
    """The handlers of registered servicers by full method name."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Called by generated code; what it brings comes by `add_registered_method_handlers` too."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Register the methods of one service.

        Raises ValueError: the protocol does not know a method, or a servicer for it is registered already.
        """
        for name, handler in method_handlers.items():
            method = f"/{service_name}/{name}"
            if method not in self._methods:
                raise ValueError(f"{method} is not a method of the protocol")
            if method in self.handlers:
                raise ValueError(f"{method} has a servicer already")
            self.handlers[method] = handler.unary_unary
