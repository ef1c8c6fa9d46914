"""The SDK: generated stubs and servicers over the exchange, for a program that is a participant itself.

    settings = load_adapter_settings(Path("adapter.yaml"))         # onecard_adapters.settings; no profile_files needed
    exchange = Exchange.open(settings)                              # onecard_adapters.sdk.exchange
    add_CoverageServiceServicer_to_server(Coverage(), exchange)     # onecard.medical.v1.coverage_pb2_grpc
    async with exchange:
        stub = CoverageServiceStub(exchange.to("cn-51"))
        answer = await stub.QueryCoverage(request, timeout=24)      # raises CallFailed, onecard_adapters.sdk.failures
        await exchange.wait_failed()                                # a servicer lives until this, or until SIGTERM

One store serves one process, and is the participant's memory: a program with a new store takes the inbox from its
beginning, and answers what is past its time that it was not executed.

A servicer's methods get the request and an ExchangeContext (`onecard_adapters.runtime.context`). They return the
response; refuse by `context.refuse(reason, ...)` or any OneCardError; and raise OutcomeInDoubt
(`onecard_protocol.errors`) where a call with effect was made and nobody can tell what became of it. After a kill they
are called again with `context.is_recovery`. Their log lines go through `logging`: configure it. A response that breaks
its message's rules is refused by the hub, which is an ERROR in that log, and the caller then learns nothing.

To go on after a kill where a call was under way: choose its id (`onecard_protocol.identifiers.new_message_id`), keep
it, and make the same request by `exchange.to(recipient, message_id)` again; `exchange.find_outcome` looks only here.
"""
