/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEEPER_H
#define KEEPER_H

#include <sys/types.h>

/* Keeps a session's descriptor until somebody releases it. Whatever was kept under that name is closed. 0, or -1: it is still the caller's. */
int keeper_hold(const char *session, int fd);

/* Makes the directory, and a listening socket in it: a descriptor, or -1 when there can be none. */
int keeper_listen(const char *directory);

/* A child has ended; it may be replaced by another, whose pid is the answer, or 0. */
typedef pid_t child_ended(pid_t pid, int status);

/* A piece of work that is done between two answers; 0 when there is none left. */
typedef int work_left(void);

/*
 * Serves until nothing is held any more and `child` has ended. Returns an exit code. `child` may be 0, `work` NULL.
 */
int keeper_serve(const char *directory, int listener, pid_t child, child_ended *ended, work_left *work);

#endif
