"""`rawfuse conform`: probes of the protocol's rules, for any FUSE server, without a mount.

The server is started with one end of a SOCK_SEQPACKET socket in place of its mount point, and we are its kernel:

    servers    starts it: `process(["./server", "{}"])`, or `in_process(MemoryFS)`; both give a `Launch`
    driver     sends requests, judges replies as Linux does (rawfuse.session.KernelSession), loses patience
    kernel     `ConformKernel`: a driver that makes files, which probes are written with
    samples    a plain request of each opcode
    offers     what the server offers, by trying
    runner     `Runner(launch).run(probes)` yields a `Result` for each, whatever the server does
    reports    text, JSON, JUnit, HTML
    linux/     the other side: what the running kernel does (`rawfuse conform --kernel`)
    probes/    one module for each subject, with a `Table` of `Probe` records; `probes.PROBES` is all of them

A probe is a short function below its rule. What it is about is *asked* (`k.ask`), and a reply that Linux would refuse
or not believe fails it; what must be there first is *needed* (`k.need`, `k.file`, ...), and where that fails the probe
could not be tried, which is "not applicable" and never "failed". So one broken rule fails the probes that are about it,
and those that say so in `depends` (every probe about an opcode depends on `shape.OPCODE`).

    @TABLE.probe("absent", Tier.MUST, "A name that is not there is ENOENT, or an entry with nodeid 0.", SOURCE,
                 opcodes=("LOOKUP",))
    def absent(k: ConformKernel) -> None:
        answer = k.lookup(ROOT, k.name("absent"))
        k.expect(answer.errno == errno.ENOENT or answer.value.nodeid == 0, "ENOENT, or nodeid 0", answer)

Probes share one server and connection, as long as nothing goes wrong; `fresh` ones get a server for themselves. What
they make lies in a directory of its own (`k.place()`) and is removed.
"""
