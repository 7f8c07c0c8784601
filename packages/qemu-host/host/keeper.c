// SPDX-License-Identifier: Apache-2.0
/*
 * Holds retrieved sessions until they are finished, as the SDK's keeper does and in its language
 * (packages/sdk/src/internal/keeper/wire.ts has the messages, docs/custody.md what it is for), but is there milliseconds after
 * the jump. It trusts nobody but its own user, and nothing that it is sent may end it, because its end is the end of what it holds.
 */
#include "luo.h"
#include "keeper.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum {
	VERSION = 1, HEADER = 8, MAX_LENGTH = 4096, MAX_NAME = SESSION_NAME_BYTES - 1,
	HOLD = 1, CLAIM = 2, RELEASE = 3, LIST = 4, DONE = 128, UNKNOWN = 129, LISTED = 130, REFUSED = 131,
	MAX_CONNECTIONS = 64,
	MAX_FILES = 8,             /* more in one message are thrown away by the kernel */
	PATIENCE_MS = 5000,        /* who hasn't said by then what it wants is turned away */
	LINGER_MS = 1000,          /* the next session is often not far */
	BACKLOG = 4096,
};

struct held { char name[SESSION_NAME_BYTES]; int fd; };
static struct held *held;
static size_t held_count, held_room;

struct connection { int fd; int64_t deadline; size_t length; int file; int files; uint8_t bytes[MAX_LENGTH]; };
static struct connection connections[MAX_CONNECTIONS];
static int connection_count;
static int64_t idle_since;

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Sorted by name: where it is, or where it would be. */
static size_t place_of(const char *name)
{
	size_t low = 0, high_end = held_count;
	while (low < high_end) {
		size_t middle = (low + high_end) / 2;
		if (strcmp(held[middle].name, name) < 0) low = middle + 1;
		else high_end = middle;
	}
	return low;
}

static struct held *find(const char *name)
{
	size_t at = place_of(name);
	return at < held_count && strcmp(held[at].name, name) == 0 ? &held[at] : NULL;
}

int keeper_hold(const char *session, int fd)
{
	struct held *before = find(session);
	if (before) {
		/* The same session once more, or a finished one of that name. */
		close(before->fd);
		before->fd = fd;
		return 0;
	}
	if (strlen(session) > MAX_NAME) return -1;
	if (held_count == held_room) {
		size_t room = held_room ? held_room * 2 : 64;
		struct held *more = realloc(held, room * sizeof *more);
		if (!more) return -1;
		held = more;
		held_room = room;
	}
	size_t at = place_of(session);
	memmove(&held[at + 1], &held[at], (held_count - at) * sizeof *held);
	memset(&held[at], 0, sizeof held[at]);
	strcpy(held[at].name, session);
	held[at].fd = fd;
	held_count++;
	return 0;
}

static int let_go(const char *session)
{
	struct held *h = find(session);
	if (!h) return 0;
	close(h->fd);
	held_count--;
	memmove(h, h + 1, (held + held_count - h) * sizeof *h);
	return 1;
}

static int is_utf8(const uint8_t *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		int more = s[i] < 0x80 ? 0 : (s[i] & 0xe0) == 0xc0 ? 1 : (s[i] & 0xf0) == 0xe0 ? 2 : (s[i] & 0xf8) == 0xf0 ? 3 : -1;
		if (more < 0 || i + more >= n) return 0;
		uint32_t c = more ? s[i] & (0x3f >> more) : s[i];
		for (int k = 1; k <= more; k++) {
			if ((s[i + k] & 0xc0) != 0x80) return 0;
			c = c << 6 | (s[i + k] & 0x3f);
		}
		static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
		if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
		i += more + 1;
	}
	return 1;
}

static uint32_t u32(const uint8_t *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }
static uint16_t u16(const uint8_t *p) { return p[0] | p[1] << 8; }

static void put(uint8_t *p, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++) p[i] = value >> (8 * i);
}

/* Who has gone doesn't need the answer. */
static void answer(const struct connection *c, uint8_t *message, size_t length, int kind, int file)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec data = { .iov_base = message, .iov_len = length };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1 };
	put(message, length, 4);
	put(message + 4, VERSION, 2);
	put(message + 6, kind, 2);
	if (file >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof file);
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof file), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &file, sizeof file);
	}
	if (sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
}

static void say(const struct connection *c, int kind, int file)
{
	uint8_t message[HEADER];
	answer(c, message, HEADER, kind, file);
}

static void refuse(const struct connection *c, const char *why)
{
	uint8_t message[HEADER + 128];
	size_t n = strlen(why);
	memcpy(message + HEADER, why, n);
	answer(c, message, HEADER + n, REFUSED, -1);
}

/* As many names as an answer has room for. */
static void list(const struct connection *c, const char *after)
{
	uint8_t message[MAX_LENGTH];
	size_t at = *after ? place_of(after) : 0, length = HEADER + 5;
	if (at < held_count && strcmp(held[at].name, after) == 0) at++;
	for (; at < held_count; at++) {
		size_t n = strlen(held[at].name);
		if (length + 1 + n > MAX_LENGTH) break;
		message[length] = n;
		memcpy(message + length + 1, held[at].name, n);
		length += 1 + n;
	}
	put(message + HEADER, getpid(), 4);
	message[HEADER + 4] = at < held_count;
	answer(c, message, length, LISTED, -1);
}

static void serve(struct connection *c, int kind, const char *name)
{
	if (kind != HOLD && c->files) return refuse(c, "a descriptor that nobody asked for");
	struct held *h = find(name);
	switch (kind) {
	case HOLD:
		if (!c->files) return refuse(c, "no descriptor to hold");
		if (keeper_hold(name, c->file)) return refuse(c, "no memory to hold it");
		c->files = 0;
		return say(c, DONE, -1);
	case CLAIM:
		return say(c, h ? DONE : UNKNOWN, h ? h->fd : -1);
	case RELEASE:
		return say(c, let_go(name) ? DONE : UNKNOWN, -1);
	case LIST:
		return list(c, name);
	default:
		return refuse(c, "a request of an unknown kind");
	}
}

/* Whether it has been answered, one way or another. */
static int understand(struct connection *c)
{
	if (c->files > 1) return refuse(c, "too many descriptors"), 1;
	if (c->length < HEADER) return 0;
	uint32_t length = u32(c->bytes);
	int kind = u16(c->bytes + 6);
	if (u16(c->bytes + 4) != VERSION) return refuse(c, "this version is not spoken here, only 1"), 1;
	if (length < HEADER || length > MAX_LENGTH) return refuse(c, "a length that no message has"), 1;
	if (c->length > length) return refuse(c, "more than one message"), 1;
	if (c->length < length) return 0;
	size_t n = length - HEADER;
	const uint8_t *rest = c->bytes + HEADER;
	int named = n > 0 && n <= MAX_NAME && !memchr(rest, 0, n) && is_utf8(rest, n);
	if (!named && !(kind == LIST && n == 0)) return refuse(c, "no session's name"), 1;
	char name[SESSION_NAME_BYTES] = { 0 };
	memcpy(name, rest, n);
	serve(c, kind, name);
	return 1;
}

/* The first descriptor is the message's; others are closed, and counted. */
static void take_files(struct connection *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
		int count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int), files[MAX_FILES];
		memcpy(files, CMSG_DATA(h), count * sizeof(int));
		for (int i = 0; i < count; i++) {
			if (c->files++ == 0) c->file = files[i];
			else close(files[i]);
		}
	}
}

/* Whether the connection is done with. */
static int read_from(struct connection *c)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(MAX_FILES * sizeof(int))]; } control;
	struct iovec data = { .iov_base = c->bytes + c->length, .iov_len = MAX_LENGTH - c->length };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0) return errno != EAGAIN && errno != EINTR;
	take_files(c, &m);
	if (n == 0) return 1;
	c->length += n;
	return understand(c);
}

static void drop(struct connection *c)
{
	if (c->files) close(c->file);
	close(c->fd);
	c->fd = -1;
}

/* In the order in which they came: who asks second may ask about what the first one has brought. */
static void serve_connections(const struct pollfd *polled, int64_t now)
{
	int left = 0;
	for (int i = 0; i < connection_count; i++) {
		struct connection *c = &connections[i];
		if ((polled[i].revents && read_from(c)) || now >= c->deadline) drop(c);
		if (c->fd >= 0 && left++ != i) connections[left - 1] = *c;
	}
	if (left == 0 && connection_count > 0) idle_since = now;
	connection_count = left;
}

static void accept_all(int listener)
{
	while (connection_count < MAX_CONNECTIONS) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct ucred peer;
		socklen_t size = sizeof peer;
		if (fd < 0) return;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) || peer.uid != geteuid()) close(fd);
		else connections[connection_count++] = (struct connection){ .fd = fd, .deadline = now_ms() + PATIENCE_MS, .file = -1 };
	}
}

static int path_in(char *path, size_t size, const char *directory, const char *name)
{
	return (size_t)snprintf(path, size, "%s/%s", directory, name) < size ? 0 : -1;
}

static void write_pid(const char *directory)
{
	char path[256], text[16];
	if (path_in(path, sizeof path, directory, "pid")) return;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int n = snprintf(text, sizeof text, "%d\n", getpid());
	if (fd < 0) return;
	if (write(fd, text, n) != n) note("cannot write the keeper's pid");
	close(fd);
}

int keeper_listen(const char *directory)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mkdir(directory, 0700);
	if (path_in(address.sun_path, sizeof address.sun_path, directory, "socket")) return -1;
	int fd = high(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	unlink(address.sun_path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chmod(address.sun_path, 0600) == 0 &&
	    listen(fd, BACKLOG) == 0) {
		write_pid(directory);
		return fd;
	}
	if (fd >= 0) close(fd);
	return -1;
}

/*
 * Clients connect under the lock, so who comes after this look into the backlog finds nobody, and starts another keeper. Only the
 * socket that was ours is removed.
 */
static int leave(const char *directory, int listener, const struct stat *ours)
{
	char lock_path[256], socket_path[256];
	if (path_in(lock_path, sizeof lock_path, directory, "lock") || path_in(socket_path, sizeof socket_path, directory, "socket")) return 0;
	int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct pollfd waiting = { .fd = listener, .events = POLLIN };
	struct stat there;
	int gone = 0;
	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && poll(&waiting, 1, 0) == 0) {
		if (lstat(socket_path, &there) == 0 && there.st_dev == ours->st_dev && there.st_ino == ours->st_ino) unlink(socket_path);
		close(listener);
		gone = 1;
	}
	if (lock >= 0) close(lock);
	return gone;
}

/* Children that have ended are looked at when the signal comes; who wants the keeper to end has to say SIGKILL. */
static int signals(void)
{
	sigset_t set;
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return high(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

static pid_t reap(int fd, pid_t child, child_ended *ended)
{
	struct signalfd_siginfo info;
	int status;
	while (read(fd, &info, sizeof info) > 0) continue;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (pid == child) child = ended ? ended(pid, status) : 0;
	return child;
}

int keeper_serve(const char *directory, int listener, pid_t child, child_ended *ended, work_left *work)
{
	static struct pollfd polled[MAX_CONNECTIONS + 2];
	char socket_path[256];
	struct stat ours = { 0 };
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_NAME, "liveupdate-keeper");
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0 && write(oom, "-1000", 5) < 0) note("the keeper is not spared when memory runs out");
	if (oom >= 0) close(oom);
	if (path_in(socket_path, sizeof socket_path, directory, "socket") == 0) lstat(socket_path, &ours);
	int signal_fd = signals();
	/* One may have ended before it was asked for. */
	child = reap(signal_fd, child, ended);
	idle_since = now_ms();
	for (;;) {
		int idle = held_count == 0 && connection_count == 0 && child == 0, count = connection_count;
		int64_t until = idle ? idle_since + LINGER_MS : INT64_MAX, now = now_ms();
		for (int i = 0; i < count; i++) {
			polled[i] = (struct pollfd){ .fd = connections[i].fd, .events = POLLIN };
			if (connections[i].deadline < until) until = connections[i].deadline;
		}
		polled[count] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
		polled[count + 1] = (struct pollfd){ .fd = listener, .events = POLLIN };
		int wait = work ? 0 : until == INT64_MAX ? -1 : until <= now ? 0 : (int)(until - now);
		/* Others wait in the backlog, their messages and descriptors with them. */
		if (poll(polled, count + (count < MAX_CONNECTIONS ? 2 : 1), wait) < 0 && errno != EINTR) usleep(100000);
		now = now_ms();
		serve_connections(polled, now);
		if (polled[count].revents) child = reap(signal_fd, child, ended);
		if (count < MAX_CONNECTIONS && polled[count + 1].revents) {
			int before = connection_count;
			accept_all(listener);
			/* No descriptor left to accept with, perhaps. */
			if (connection_count == before) usleep(20000);
		}
		if (work && !work()) work = NULL;
		if (work || held_count || connection_count || child || now < idle_since + LINGER_MS) continue;
		if (leave(directory, listener, &ours)) return 0;
		idle_since = now;
	}
}
