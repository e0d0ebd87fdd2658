// Who may begin a parallel loop. libgomp keeps a team of threads for every thread that begins one, and
// kernels keep memory in them: with callers that come and go, teams and memory would pile up. So one
// thread owns the team, and what others ask for is done there while they wait (Docs/engine.md).
#pragma once

// Whether the caller is the engine's thread, or works for it inside a parallel loop.
int lk_may_compute(void);
