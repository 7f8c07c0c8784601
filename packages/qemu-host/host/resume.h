/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESUME_H
#define RESUME_H

#define HOOK "/usr/lib/liveupdate/early"
#define KEEPER_DIRECTORY "/run/liveupdate/keeper"

/* Under these numbers a program that is started from here finds things. */
enum { READY_FD = 3, SNAPSHOT_FD = 4, RAM_FD = 3, MONITOR_FD = 4 };

/* What the old kernel's agent has sent along; -1 where there is nothing. */
struct carried { int program, snapshot, start; };

/* Retrieves it, and finishes its session: memfds that were retrieved stay with whoever has them open. 0, or -1. */
int retrieve_carried(struct carried *c);

/*
 * Starts the agent's second half, and beside it the VMMs, on the guests' memory; then holds the sessions until they are finished.
 * Returns an exit code. Without what was sent along, HOOK is started, which reads everything from the disk.
 */
int resume(struct carried *c);

#endif
