// SPDX-License-Identifier: Apache-2.0
/*
 * First process of the host: starts what has to happen before the rest of the system, then becomes systemd.
 *
 * After a live update every millisecond until the virtual machines run again is blackout, and systemd needs seconds to read
 * its units. So the agent's second half is started here, with /proc, /sys, /dev, /run, debugfs and the cgroup tree mounted,
 * and systemd waits for it: until it says that it is done, by closing descriptor 3 or by exiting, or for EARLY_SECONDS. It is
 * started only on a kernel that was handed something (/sys/kernel/debug/kho/in/fdt,
 * kernel/liveupdate/kexec_handover_debugfs.c) and lives on beside systemd, with its children, in a cgroup of its own. Its
 * output goes to /run/liveupdate/early.log.
 *
 * It comes from memory if the old kernel's agent has sent it along (packages/agent/src/upgrade/CarriedAgent.ts): in the
 * session AGENT_SESSION lie the program at PROGRAM, its start-up snapshot at SNAPSHOT, which becomes descriptor 4, and at
 * START what to do with them: the program's arguments, one a line, an empty line, and the files that will be read next, one a
 * line. Nothing has to be read from a disk then. If there is no such session, or what is in it can't be used, HOOK is started.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOOK "/opt/liveupdate/early"
#define HANDED_OVER "/sys/kernel/debug/kho/in/fdt"
#define SUPPORTED "/run/liveupdate/first-process"    /* tells the agent that AGENT_SESSION will be looked for */
#define AGENT_SESSION "liveupdate-agent"
enum {
	EARLY_SECONDS = 15,
	PROGRAM = 1, SNAPSHOT = 2, START = 3,    /* tokens */
	READY_FD = 3, SNAPSHOT_FD = 4,
	MAX_ARGUMENTS = 64,
	MAX_START_BYTES = 64 << 10,
	SNAPSHOT_REFUSED = 14,                   /* Node's exit code when it can't use a start-up snapshot */
};

/* include/uapi/linux/liveupdate.h, which the C library's headers don't have yet. */
struct session_request { uint32_t size; int32_t fd; uint8_t name[64]; };
struct file_request { uint32_t size; int32_t fd; uint64_t token __attribute__((aligned(8))); };
struct finish_request { uint32_t size, reserved; };
#define RETRIEVE_SESSION _IO(0xBA, 0x01)
#define RETRIEVE_FD _IO(0xBA, 0x41)
#define FINISH _IO(0xBA, 0x42)

/* Descriptors below 10 are for who is started from here: ours are moved out of the way. */
static int high(int fd)
{
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (fd >= 0) close(fd);
	return moved;
}

/* Gives a started program a descriptor under the number that it knows. */
static void become(int fd, int number)
{
	if (dup2(fd, number) != number) _exit(126);
}

static void note(const char *text)
{
	static int kmsg = -1;
	char line[160];
	int n = snprintf(line, sizeof line, "<5>liveupdate-init: %s\n", text);
	if (kmsg < 0) kmsg = high(open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
	/* Not dprintf: it asks for the position, and kmsg answers that with an error that makes it give up. */
	if (kmsg >= 0 && write(kmsg, line, n) < 0) return;
}

/* What the agent has sent along: descriptors of its files, the arguments and the files named in START. */
struct carried {
	int program, snapshot;
	char *arguments[MAX_ARGUMENTS + 1];
	char *files;               /* lines */
};

static int retrieve_fd(int session, uint64_t token)
{
	struct file_request file = { .size = sizeof file, .fd = -1, .token = token };
	return ioctl(session, RETRIEVE_FD, &file) ? -1 : high(file.fd);
}

/* One line of text becomes a string; NULL at the end. */
static char *next_line(char **text)
{
	char *line = *text, *end = line ? strchr(line, '\n') : NULL;
	if (!end) return NULL;
	*end = 0;
	*text = end + 1;
	return line;
}

static int read_start(int fd, struct carried *c)
{
	static char text[MAX_START_BYTES + 1];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, MAX_START_BYTES, 0);
	if (n <= 0) return -1;
	text[n] = 0;
	char *rest = text, *line;
	int count = 0;
	while ((line = next_line(&rest)) && *line) {
		if (count == MAX_ARGUMENTS) return -1;
		c->arguments[count++] = line;
	}
	c->arguments[count] = NULL;
	c->files = rest;
	return line && count ? 0 : -1;   /* without the empty line it is not whole */
}

/* The session is finished at once: memfds that were retrieved stay with whoever has them open. */
static int retrieve(struct carried *c)
{
	struct session_request session = { .size = sizeof session, .fd = -1, .name = AGENT_SESSION };
	struct finish_request finish = { .size = sizeof finish };
	int device = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	int got = device < 0 ? -1 : ioctl(device, RETRIEVE_SESSION, &session);
	if (device >= 0) close(device);
	if (got) return -1;
	c->program = retrieve_fd(session.fd, PROGRAM);
	c->snapshot = retrieve_fd(session.fd, SNAPSHOT);
	int start = retrieve_fd(session.fd, START);
	if (ioctl(session.fd, FINISH, &finish)) note("cannot finish session " AGENT_SESSION);
	close(session.fd);
	int broken = c->program < 0 || c->snapshot < 0 || read_start(start, c);
	if (start >= 0) close(start);
	return broken ? -1 : 0;
}

/* Reads files into the page cache while the program starts on another processor. */
static void read_ahead(char *files)
{
	if (fork()) return;
	char *path;
	while ((path = next_line(&files))) {
		struct stat st;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) readahead(fd, 0, st.st_size);
		if (fd >= 0) close(fd);
	}
	_exit(0);
}

static void run_hook(void)
{
	execl(HOOK, HOOK, (char *)NULL);
	dprintf(2, HOOK ": %s\n", strerror(errno));
	_exit(127);
}

static void run_carried(struct carried *c)
{
	become(c->snapshot, SNAPSHOT_FD);
	pid_t pid = fork();
	if (pid == 0) {
		/* Not by path: there is none. The descriptor itself is closed on exec. */
		fexecve(c->program, c->arguments, environ);
		_exit(127);
	}
	close(READY_FD);
	close(SNAPSHOT_FD);
	int status = 0;
	if (pid > 0) waitpid(pid, &status, 0);
	if (pid > 0 && !(WIFEXITED(status) && (WEXITSTATUS(status) == SNAPSHOT_REFUSED || WEXITSTATUS(status) == 127))) _exit(0);
	note("what was sent along does not start; starting " HOOK);
	run_hook();
}

/*
 * A child that is born into a cgroup of its own. Moving it there would wait for an RCU grace period
 * (cgroup_attach_lock in kernel/cgroup/cgroup.c): tens of milliseconds.
 */
static pid_t fork_into(const char *cgroup)
{
	mkdir(cgroup, 0755);
	int fd = high(open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct clone_args args = { .exit_signal = SIGCHLD, .flags = fd < 0 ? 0 : CLONE_INTO_CGROUP, .cgroup = fd < 0 ? 0 : fd };
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	if (fd >= 0) close(fd);
	return pid;
}

/* Starts the second half, and waits until the virtual machines run. */
static void early(struct carried *c)
{
	int done[2];
	if (c) read_ahead(c->files);
	if (pipe2(done, O_CLOEXEC)) return;
	pid_t pid = fork_into("/sys/fs/cgroup/liveupdate-early");
	if (pid < 0) return;
	if (pid == 0) {
		setsid();
		int ready = high(done[1]);
		int out = high(open("/run/liveupdate/early.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
		become(high(open("/dev/null", O_RDONLY | O_CLOEXEC)), 0);
		become(out, 1);
		become(out, 2);
		become(ready, READY_FD);
		close(ready);
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		setenv("HOME", "/root", 1);
		setenv("LIVEUPDATE_READY_FD", "3", 1);
		if (c) run_carried(c);
		run_hook();
	}
	close(done[1]);
	if (c) {
		close(c->program);
		close(c->snapshot);
	}
	struct pollfd end = { .fd = done[0] };
	if (poll(&end, 1, EARLY_SECONDS * 1000) == 0) note("the agent takes long; going on without it");
	close(done[0]);
}

int main(int argc, char **argv)
{
	(void)argc;
	if (getpid() == 1) {
		mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
		mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot");
		mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
		note("first process");
		mkdir("/run/liveupdate", 0700);
		close(open(SUPPORTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		if (access(HANDED_OVER, F_OK) == 0) {
			static struct carried c;
			int carried = retrieve(&c) == 0;
			if (carried || access(HOOK, X_OK) == 0) {
				note(carried ? "starting the agent that was sent along" : "starting " HOOK);
				early(carried ? &c : NULL);
				note("starting systemd");
			}
		}
	}
	execv("/usr/lib/systemd/systemd", argv);
	note("cannot start /usr/lib/systemd/systemd");
	return 1;
}
