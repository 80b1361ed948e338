/* A web server of one folder for tests of downloads: loopback only, one request at a time.
 *
 *   http_server FOLDER [OPTION...]    prints its port on stdout, then serves until killed
 *     norange     ignores Range
 *     noetag      sends no ETag
 *     cut=N       breaks the first response of a file after N body bytes, then behaves
 *     sleep=MS    waits between pieces of 64 KiB
 *     linked=HEX  answers /resolve/ paths with a redirect that names this sha256
 *
 * The ETag is the file's size and time, so a changed file has another one.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int no_range, no_etag;
static long cut = -1, pause_ms;
static const char *linked;

static void send_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t w = write(fd, s, n);

		if (w <= 0)
			return;
		s += w;
		n -= (size_t)w;
	}
}

static void answer(int fd, const char *status, const char *more, long length)
{
	char head[1024];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: %ld\r\n"
			 "Connection: close\r\n\r\n", status, more, length);

	send_all(fd, head, (size_t)n);
}

/* Body bytes [from, end), perhaps not all of them. */
static void body(int fd, FILE *f, long from, long end)
{
	char piece[65536];

	fseek(f, from, SEEK_SET);
	while (from < end) {
		size_t want = (size_t)(end - from) < sizeof(piece) ? (size_t)(end - from) :
								    sizeof(piece);

		if (cut >= 0 && (long)want >= cut) {
			want = (size_t)cut;
			cut = -2;
		}
		if (want && fread(piece, 1, want, f) != want)
			return;
		send_all(fd, piece, want);
		from += (long)want;
		if (cut == -2) {
			cut = -1;
			return;
		}
		if (cut > 0)
			cut -= (long)want;
		if (pause_ms) {
			struct timespec ts = { pause_ms / 1000, pause_ms % 1000 * 1000000 };

			nanosleep(&ts, NULL);
		}
	}
}

static void serve(int fd, const char *folder)
{
	char req[8192], path[512], file[1200], etag[64], more[512];
	const char *range, *if_range;
	size_t len = 0;
	ssize_t n;
	long from = 0, end;
	struct stat st;
	FILE *f;

	while (len < sizeof(req) - 1 && (n = read(fd, req + len, sizeof(req) - 1 - len)) > 0) {
		len += (size_t)n;
		req[len] = '\0';
		if (strstr(req, "\r\n\r\n"))
			break;
	}
	req[len] = '\0';
	if (sscanf(req, "GET %500s", path) != 1 || strstr(path, "..")) {
		answer(fd, "400 Bad Request", "", 0);
		return;
	}
	fprintf(stderr, "%s", req);
	if (linked && strstr(path, "/resolve/")) {
		snprintf(more, sizeof(more), "Location: /%s\r\nX-Linked-Etag: \"%s\"\r\n",
			 strrchr(path, '/') + 1, linked);
		answer(fd, "302 Found", more, 0);
		return;
	}
	snprintf(file, sizeof(file), "%s/%s", folder, strrchr(path, '/') + 1);
	f = stat(file, &st) < 0 || !S_ISREG(st.st_mode) ? NULL : fopen(file, "rb");
	if (!f) {
		answer(fd, "404 Not Found", "", 10);
		send_all(fd, "not here!\n", 10);
		return;
	}
	end = (long)st.st_size;
	snprintf(etag, sizeof(etag), "\"%lx-%lx.%lx\"", (long)st.st_size, (long)st.st_mtim.tv_sec,
		 (long)st.st_mtim.tv_nsec);
	snprintf(more, sizeof(more), "ETag: %s\r\n", etag);
	if (no_etag)
		more[0] = '\0';
	range = strstr(req, "Range: bytes=");
	if_range = strstr(req, "If-Range: ");
	if (range && !no_range && (!if_range || !strncmp(if_range + 10, etag, strlen(etag)))) {
		from = atol(range + 13);
		if (from >= end) {
			answer(fd, "416 Range Not Satisfiable", more, 0);
			fclose(f);
			return;
		}
		snprintf(more + strlen(more), sizeof(more) - strlen(more),
			 "Content-Range: bytes %ld-%ld/%ld\r\n", from, end - 1, end);
		answer(fd, "206 Partial Content", more, end - from);
	} else {
		answer(fd, "200 OK", more, end);
	}
	body(fd, f, from, end);
	fclose(f);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	for (int i = 2; i < argc; i++) {
		no_range |= !strcmp(argv[i], "norange");
		no_etag |= !strcmp(argv[i], "noetag");
		if (!strncmp(argv[i], "cut=", 4))
			cut = atol(argv[i] + 4);
		if (!strncmp(argv[i], "sleep=", 6))
			pause_ms = atol(argv[i] + 6);
		if (!strncmp(argv[i], "linked=", 7))
			linked = argv[i] + 7;
	}
	signal(SIGPIPE, SIG_IGN);
	alarm(120);	/* never outlives its test for long */
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (argc < 2 || s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(s, 8) < 0 || getsockname(s, (struct sockaddr *)&a, &n) < 0) {
		perror("http_server");
		return 1;
	}
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(s, NULL, NULL);

		if (fd < 0)
			continue;
		serve(fd, argv[1]);
		shutdown(fd, SHUT_WR);
		close(fd);
	}
}
