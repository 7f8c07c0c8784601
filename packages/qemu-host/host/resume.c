// SPDX-License-Identifier: Apache-2.0
/*
 * The first moments after a live update, when every millisecond is blackout. The old kernel's agent has sent along what is needed
 * (packages/agent/src/upgrade/CarriedAgent.ts): in the session AGENT_SESSION lie, as memfds, Node at PROGRAM, its start-up snapshot
 * at SNAPSHOT, which becomes descriptor 4, and at START what to do with them. Nothing has to be read from a disk then.
 *
 * Node needs most of a second before it does anything, and so does a VMM. So both are started at once: sessions and guest memory are
 * retrieved here, the VMMs started on them, and Node finds them waiting for their state. The process that does so stays as the keeper
 * of the sessions: from the moment one is retrieved, somebody holds it who lives until it is finished.
 *
 * What Node finds of a VMM: its pid and when it was started (milliseconds of CLOCK_MONOTONIC) in the file "started" of the VM's
 * runtime directory. It is told right after the fork, and Node waits until the program is the VMM's (packages/agent/src/vmm/StartedVmm.ts).
 * A VMM that could not be started is started by Node.
 *
 * START is a list of strings, each with its NUL (packages/agent/src/upgrade/StartInstructions.ts). A count comes before what it counts:
 *
 *   n, n arguments of the program; n, n files that will be read next; n, n names of sessions to hold;
 *   n, and for each VM: session, token of its memory, runtime directory, log, console, monitor socket; n, n arguments of the VMM
 */
#include "luo.h"
#include "keeper.h"
#include "resume.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define AGENT_SESSION "liveupdate-agent"
enum {
	PROGRAM = 1, SNAPSHOT = 2, START = 3,    /* tokens */
	MAX_START_BYTES = 1 << 20,
	SNAPSHOT_REFUSED = 14,                   /* Node's exit code when it can't use a start-up snapshot */
	NOT_STARTED = 127,
	FIRST = -10,                             /* a niceness */
};

static char text[MAX_START_BYTES];
static size_t text_length, text_at;

/* The next string, or NULL at the end; a last one without its NUL is none. */
static char *next(void)
{
	char *string = text + text_at, *end = memchr(string, 0, text_length - text_at);
	if (!end) return NULL;
	text_at = end + 1 - text;
	return string;
}

/* The next list as execv takes it, or NULL. Strings have at least one byte each, so a count that is too high is seen. */
static char **next_list(void)
{
	char *count = next();
	size_t n = count ? strtoul(count, NULL, 10) : 0;
	if (!count || n > text_length) return NULL;
	char **all = calloc(n + 1, sizeof *all);
	for (size_t i = 0; all && i < n; i++)
		if (!(all[i] = next())) return NULL;
	return all;
}

static int read_start(int fd)
{
	ssize_t n = pread(fd, text, sizeof text, 0);
	text_length = n < 0 ? 0 : n;
	return n > 0 ? 0 : -1;
}

int retrieve_carried(struct carried *c)
{
	*c = (struct carried){ -1, -1, -1 };
	int device = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	int session = device < 0 ? -1 : retrieve_session(device, AGENT_SESSION);
	if (device >= 0) close(device);
	if (session < 0) return -1;
	c->program = retrieve_file(session, PROGRAM);
	c->snapshot = retrieve_file(session, SNAPSHOT);
	c->start = retrieve_file(session, START);
	if (finish(session)) note("cannot finish session " AGENT_SESSION);
	close(session);
	return c->program < 0 || c->snapshot < 0 || c->start < 0 ? -1 : 0;
}

/* Children are started as if by a shell: neither our signals' settings nor our priority are for them. */
static void forget_settings(void)
{
	setpriority(PRIO_PROCESS, 0, 0);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
}

/* Reads files into the page cache while programs start on the other processors. */
static void read_ahead(char **files)
{
	if (fork()) return;
	for (; *files; files++) {
		struct stat st;
		int fd = open(*files, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) readahead(fd, 0, st.st_size);
		if (fd >= 0) close(fd);
	}
	_exit(0);
}

static pid_t start_hook(void)
{
	pid_t pid = fork();
	if (pid) return pid;
	forget_settings();
	execl(HOOK, HOOK, (char *)NULL);
	dprintf(2, HOOK ": %s\n", strerror(errno));
	_exit(NOT_STARTED);
}

static pid_t start_program(const struct carried *c, char **arguments)
{
	pid_t pid = fork();
	if (pid) return pid;
	forget_settings();
	/*
	 * It has a little to do for each VM, one after the other: among many VMMs that start it would have the share of one, and all would wait for
	 * it. So it comes first, and the kernel gives that to none of its children. It gives its priority back when the guests run
	 * (packages/agent/src/cli/Priority.ts).
	 */
	sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &(struct sched_param){ 0 });
	setpriority(PRIO_PROCESS, 0, FIRST);
	become(c->snapshot, SNAPSHOT_FD);
	/* Not by path: there is none. The descriptor itself is closed on exec. */
	fexecve(c->program, arguments, environ);
	_exit(NOT_STARTED);
}

struct vm { char *session, *token, *directory, *log, *console, *monitor, **arguments; };

static int read_vm(struct vm *vm)
{
	char **fields[] = { &vm->session, &vm->token, &vm->directory, &vm->log, &vm->console, &vm->monitor };
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (!(*fields[i] = next())) return -1;
	vm->arguments = next_list();
	return vm->arguments && vm->arguments[0] ? 0 : -1;
}

/* All directories on the way to it, for root alone. */
static void make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0700);
		*slash = '/';
	}
	mkdir(path, 0700);
}

/* Made here, so that whoever connects needn't wait for the VMM. */
static int monitor_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path) return -1;
	strcpy(address.sun_path, path);
	int fd = high(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	unlink(path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chmod(path, 0600) == 0 && listen(fd, 128) == 0) return fd;
	if (fd >= 0) close(fd);
	return -1;
}

/* Whole or not at all. */
static void tell_started(const char *directory, pid_t pid, const struct timespec *at)
{
	char path[512], finished[512], line[64];
	if ((size_t)snprintf(finished, sizeof finished, "%s/started", directory) >= sizeof finished) return;
	if ((size_t)snprintf(path, sizeof path, "%s.new", finished) >= sizeof path) return;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int n = snprintf(line, sizeof line, "%d %lld.%03ld\n", pid, at->tv_sec * 1000LL + at->tv_nsec / 1000000, at->tv_nsec / 1000 % 1000);
	int written = fd >= 0 && write(fd, line, n) == n;
	if (fd >= 0) close(fd);
	if (!written || rename(path, finished)) note("cannot tell of a VMM that was started");
}

static void start_vmm(const struct vm *vm, int session)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	int ram = retrieve_file(session, strtoull(vm->token, NULL, 10));
	make_directories(vm->directory);
	int monitor = ram < 0 ? -1 : monitor_socket(vm->monitor);
	int log = monitor < 0 ? -1 : high(open(vm->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	pid_t pid = log < 0 ? -1 : fork();
	if (pid == 0) {
		forget_settings();
		setsid();
		/* A VMM would create it for everybody to read. */
		close(open(vm->console, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		become(log, 1);
		become(log, 2);
		become(ram, RAM_FD);
		become(monitor, MONITOR_FD);
		unsetenv("LIVEUPDATE_READY_FD");
		if (chdir("/") == 0) execv(vm->arguments[0], vm->arguments);
		dprintf(2, "%s: %s\n", vm->arguments[0], strerror(errno));
		_exit(NOT_STARTED);
	}
	if (pid > 0) tell_started(vm->directory, pid, &at);
	else note("a VMM could not be started early");
	if (ram >= 0) close(ram);
	if (monitor >= 0) close(monitor);
	if (log >= 0) close(log);
}

static int device = -1;
static size_t vms_left;

/* What START lists after the files, up to the VMs; what fails here is left to Node, who says what is wrong. */
static int hold_sessions(void)
{
	char **sessions = next_list(), *count = next();
	device = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (device < 0) return 0;
	for (; sessions && *sessions; sessions++) {
		int fd = retrieve_session(device, *sessions);
		if (fd >= 0 && keeper_hold(*sessions, fd)) note("cannot hold a session");
	}
	vms_left = count ? strtoul(count, NULL, 10) : 0;
	return vms_left > 0;
}

/*
 * The next VM. Between two of them Node is answered: it would wait for the last of many otherwise. One that it asks for before its turn it
 * retrieves, and starts, itself; here it is not there any more then.
 */
static int take_up_next(void)
{
	struct vm vm;
	if (vms_left > 0 && read_vm(&vm) == 0) {
		vms_left--;
		int session = retrieve_session(device, vm.session);
		/* Who can't hold it can't give it back either: it stays open here. */
		if (session >= 0 && keeper_hold(vm.session, session)) note("cannot hold a session");
		if (session >= 0) start_vmm(&vm, session);
	} else {
		vms_left = 0;
	}
	if (vms_left > 0) return 1;
	close(device);
	setpriority(PRIO_PROCESS, 0, 0);
	return 0;
}

static pid_t ended(pid_t pid, int status)
{
	(void)pid;
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != SNAPSHOT_REFUSED && WEXITSTATUS(status) != NOT_STARTED)) return 0;
	static int once;
	if (once++) return 0;
	note("what was sent along does not start; starting " HOOK);
	pid = start_hook();
	return pid > 0 ? pid : 0;
}

int resume(struct carried *c)
{
	char **arguments = NULL, **files = NULL;
	int listener = keeper_listen(KEEPER_DIRECTORY);
	if (c->start < 0 || read_start(c->start) || !(arguments = next_list()) || !arguments[0] || !(files = next_list())) {
		note("what was sent along can't be used; starting " HOOK);
		arguments = NULL;
	}
	pid_t child = arguments ? start_program(c, arguments) : start_hook();
	close(READY_FD);
	if (files) read_ahead(files);
	/* Without a keeper nobody may retrieve a session: Node does, and starts one. */
	int work = listener >= 0 && arguments && hold_sessions();
	/* Whoever it has started would take the processors from those that it has still to start. */
	if (work) setpriority(PRIO_PROCESS, 0, FIRST);
	close(c->program);
	close(c->snapshot);
	close(c->start);
	return listener < 0 ? 0 : keeper_serve(KEEPER_DIRECTORY, listener, child > 0 ? child : 0, ended, work ? take_up_next : NULL);
}
