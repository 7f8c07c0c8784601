// SPDX-License-Identifier: Apache-2.0
/*
 * The system calls that the SDK makes, without the SDK: what `npm run bench` compares it with. Compiled when it runs.
 *
 *   calls sessions COUNT               creates sessions, each with the device opened for it, and closes them
 *   calls files COUNT                  preserves small memfds in one session, closes it
 *   calls memory FD                    preserves a memfd that was inherited, closes the session
 *   calls retrieve SESSION COUNT       retrieves a session's files at tokens 1 to COUNT, finishes it
 *   calls seals COUNT                  asks a memfd for its seals
 *   calls memfds COUNT                 creates memfds, closes them
 *
 * Prints lines of an operation and the nanoseconds that it took; a refusal of the kernel ends it with 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* include/uapi/linux/liveupdate.h, which the C library's headers don't have yet. */
struct session_request { uint32_t size; int32_t fd; uint8_t name[64]; };
struct file_request { uint32_t size; int32_t fd; uint64_t token __attribute__((aligned(8))); };
struct finish_request { uint32_t size, reserved; };
#define CREATE_SESSION _IO(0xBA, 0x00)
#define RETRIEVE_SESSION _IO(0xBA, 0x01)
#define PRESERVE_FD _IO(0xBA, 0x40)
#define RETRIEVE_FD _IO(0xBA, 0x41)
#define FINISH _IO(0xBA, 0x42)

static int must(int answer, const char *what)
{
	if (answer >= 0) return answer;
	fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void report(const char *operation, uint64_t from, uint64_t to)
{
	printf("%s %llu\n", operation, (unsigned long long)(to - from));
}

static int *numbers(int count)
{
	int *all = calloc(count, sizeof *all);
	if (!all) must(-1, "calloc");
	return all;
}

static int open_device(void) { return must(open("/dev/liveupdate", O_RDWR | O_CLOEXEC), "open /dev/liveupdate"); }

static int request_session(int device, unsigned long request, const char *name)
{
	struct session_request session = { .size = sizeof session, .fd = -1 };
	snprintf((char *)session.name, sizeof session.name, "%s", name);
	must(ioctl(device, request, &session), "session");
	return session.fd;
}

static int new_session(const char *name)
{
	int device = open_device();
	int session = request_session(device, CREATE_SESSION, name);
	close(device);
	return session;
}

static void preserve(int session, int fd, uint64_t token)
{
	struct file_request file = { .size = sizeof file, .fd = fd, .token = token };
	must(ioctl(session, PRESERVE_FD, &file), "preserve");
}

static int new_memfd(void) { return must(memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10 /* MFD_EXEC */), "memfd_create"); }

static void sessions(int count)
{
	int *fds = numbers(count);
	char name[64];
	uint64_t t0 = now();
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof name, "bench-%d", i);
		fds[i] = new_session(name);
	}
	uint64_t t1 = now();
	for (int i = count; i-- > 0;) close(fds[i]);
	uint64_t t2 = now();
	report("create", t0, t1);
	report("close", t1, t2);
}

static void files(int count)
{
	int *fds = numbers(count);
	for (int i = 0; i < count; i++) {
		fds[i] = new_memfd();
		must(ftruncate(fds[i], 4096), "ftruncate");
		must(pwrite(fds[i], "x", 1, 0), "pwrite");
	}
	int session = new_session("bench");
	uint64_t t0 = now();
	for (int i = 0; i < count; i++) preserve(session, fds[i], i + 1);
	uint64_t t1 = now();
	close(session);
	uint64_t t2 = now();
	report("preserve", t0, t1);
	report("close", t1, t2);
}

static void memory(int fd)
{
	int session = new_session("bench");
	uint64_t t0 = now();
	preserve(session, fd, 1);
	uint64_t t1 = now();
	close(session);
	uint64_t t2 = now();
	report("preserve", t0, t1);
	report("close", t1, t2);
}

static void retrieve(const char *name, int count)
{
	int *fds = numbers(count), device = open_device();
	int session = request_session(device, RETRIEVE_SESSION, name);
	close(device);
	uint64_t t0 = now();
	for (int i = 0; i < count; i++) {
		struct file_request file = { .size = sizeof file, .fd = -1, .token = i + 1 };
		must(ioctl(session, RETRIEVE_FD, &file), "retrieve");
		fds[i] = file.fd;
	}
	uint64_t t1 = now();
	struct finish_request finish = { .size = sizeof finish };
	must(ioctl(session, FINISH, &finish), "finish");
	uint64_t t2 = now();
	close(session);
	for (int i = 0; i < count; i++) close(fds[i]);
	report("retrieve", t0, t1);
	report("finish", t1, t2);
}

static void seals(int count)
{
	int fd = new_memfd();
	uint64_t t0 = now();
	for (int i = 0; i < count; i++) must(fcntl(fd, F_GET_SEALS), "F_GET_SEALS");
	report("seals", t0, now());
}

static void memfds(int count)
{
	int *fds = numbers(count);
	uint64_t t0 = now();
	for (int i = 0; i < count; i++) {
		fds[i] = new_memfd();
		must(ftruncate(fds[i], 4096), "ftruncate");
	}
	uint64_t t1 = now();
	for (int i = 0; i < count; i++) close(fds[i]);
	uint64_t t2 = now();
	report("create", t0, t1);
	report("close", t1, t2);
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);

	const char *what = argc > 2 ? argv[1] : "";
	if (!strcmp(what, "sessions")) sessions(atoi(argv[2]));
	else if (!strcmp(what, "files")) files(atoi(argv[2]));
	else if (!strcmp(what, "memory")) memory(atoi(argv[2]));
	else if (!strcmp(what, "retrieve") && argc == 4) retrieve(argv[2], atoi(argv[3]));
	else if (!strcmp(what, "seals")) seals(atoi(argv[2]));
	else if (!strcmp(what, "memfds")) memfds(atoi(argv[2]));
	else return 2;
	return 0;
}
