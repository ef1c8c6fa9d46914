"""Whether a gateway of the country says that it serves, asked as a probe in operation asks: gRPC health over mTLS."""

from pathlib import Path

from onecard_stubs.dev.certificates import CertificateFiles
from onecard_stubs.dev.free_ports import is_listening

_CALL_SECONDS = 2.0


class GatewayHealth:
    """Asks one gateway, over a connection of its own each time: a gateway that was killed may be another process."""

    def __init__(self, address: str, client: CertificateFiles, authority: Path) -> None:
        """`address` is host:port; `client` is a certificate that the gateways' authority has issued."""
        self._address = address
        self._client = client
        self._authority = authority

    async def is_serving(self) -> bool:
        """Whether it admits messages; False as well while it does not listen or does not answer."""
        if not is_listening(int(self._address.rpartition(":")[2])):
            return False
        # Imported while the gateways start, which takes longer; they need the same packages.
        import grpc
        import grpc.aio
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        credentials = grpc.ssl_channel_credentials(
            self._authority.read_bytes(), self._client.private_key.read_bytes(), self._client.certificate.read_bytes()
        )
        async with grpc.aio.secure_channel(self._address, credentials) as channel:
            try:
                health = await health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                    health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS
                )
            except grpc.aio.AioRpcError:
                return False
        return bool(health.status == health_pb2.HealthCheckResponse.SERVING)
