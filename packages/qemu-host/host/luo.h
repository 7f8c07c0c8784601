/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's first programs share: the kernel's live update interface, and how they keep their descriptors apart. */
#ifndef LUO_H
#define LUO_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* include/uapi/linux/liveupdate.h, which the C library's headers don't have yet. */
enum { SESSION_NAME_BYTES = 64 };
struct session_request { uint32_t size; int32_t fd; uint8_t name[SESSION_NAME_BYTES]; };
struct file_request { uint32_t size; int32_t fd; uint64_t token __attribute__((aligned(8))); };
struct finish_request { uint32_t size, reserved; };
#define RETRIEVE_SESSION _IO(0xBA, 0x01)
#define RETRIEVE_FD _IO(0xBA, 0x41)
#define FINISH _IO(0xBA, 0x42)

/* Descriptors below 10 are for who is started from here: ours are moved out of the way. */
static inline int high(int fd)
{
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (fd >= 0) close(fd);
	return moved;
}

/* Gives a started program a descriptor under the number that it knows. */
static inline void become(int fd, int number)
{
	if (dup2(fd, number) != number) _exit(126);
}

/* A line in the kernel's log. */
static inline void note(const char *text)
{
	static int kmsg = -1;
	char line[256];
	int n = snprintf(line, sizeof line, "<5>liveupdate-init: %.200s\n", text);
	if (kmsg < 0) kmsg = high(open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
	/* Not dprintf: it asks for the position, and kmsg answers that with an error that makes it give up. */
	if (kmsg >= 0 && write(kmsg, line, n) < 0) return;
}

/* A session's descriptor, or -1. */
static inline int retrieve_session(int device, const char *name)
{
	struct session_request session = { .size = sizeof session, .fd = -1 };
	if (strlen(name) >= SESSION_NAME_BYTES) return -1;
	memcpy(session.name, name, strlen(name));
	return ioctl(device, RETRIEVE_SESSION, &session) ? -1 : high(session.fd);
}

/* A descriptor of a preserved file, or -1. Asking twice gives two of the same file. */
static inline int retrieve_file(int session, uint64_t token)
{
	struct file_request file = { .size = sizeof file, .fd = -1, .token = token };
	return ioctl(session, RETRIEVE_FD, &file) ? -1 : high(file.fd);
}

static inline int finish(int session)
{
	struct finish_request request = { .size = sizeof request };
	return ioctl(session, FINISH, &request);
}

#endif
