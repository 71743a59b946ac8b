/*
 * The caller's side of the round-trip rows: as little as a caller can be, so that what is measured is the server.
 * The bench compiles it when there is a C compiler and runs client.py, which does the same, when there is none.
 *
 *   client lookup DIR PREFIX N           stat N absent names                      -> ns per call
 *   client create DIR PREFIX N SIZE      create, write SIZE bytes, close, N files -> ns per file
 *   client unlink DIR PREFIX N           remove them                              -> ns per file
 *   client fsync FILE OTHER N SPAN       N times: overwrite 4 KiB somewhere in the first SPAN bytes of FILE and fsync;
 *                                        append 4 KiB to OTHER and fdatasync      -> median ns of the one, of the other
 *
 * Names are PREFIX followed by 0 .. N-1. Any failure: a line on stderr and status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void name_of(char name[256], const char *prefix, long number)
{
	snprintf(name, 256, "%s%ld", prefix, number);
}

static void lookup(const char *prefix, long count)
{
	struct stat result;
	char name[256];

	for (long number = 0; number < count; number++) {
		name_of(name, prefix, number);
		if (stat(name, &result) == 0)
			errno = EEXIST;
		if (errno != ENOENT)
			fail(name);
	}
}

static void create(const char *prefix, long count, long size)
{
	char name[256];
	char *data = malloc(size);

	srandom(now());
	for (long at = 0; at < size; at++)
		data[at] = (char)random();
	for (long number = 0; number < count; number++) {
		name_of(name, prefix, number);
		/* every file is another one: a store that keeps equal contents once must not profit */
		snprintf(data, size, "%s", name);
		int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			fail(name);
		if (write(fd, data, size) != size)
			fail("write");
		if (close(fd) != 0)
			fail("close");
	}
	free(data);
}

static void remove_all(const char *prefix, long count)
{
	char name[256];

	for (long number = 0; number < count; number++) {
		name_of(name, prefix, number);
		if (unlink(name) != 0)
			fail(name);
	}
}

static int ascending(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

static void sync_both(const char *file, const char *other, long count, long long span)
{
	int64_t *one = calloc(count, sizeof *one), *two = calloc(count, sizeof *two);
	char data[PAGE];
	int fd = open(file, O_WRONLY);
	int log = open(other, O_CREAT | O_WRONLY | O_APPEND, 0644);

	if (fd < 0 || log < 0)
		fail(fd < 0 ? file : other);
	srandom(now());
	for (long number = 0; number < count; number++) {
		long long page = ((long long)random() << 31 ^ random()) % (span / PAGE);
		for (int at = 0; at < PAGE; at++)
			data[at] = (char)random();
		int64_t start = now();
		if (pwrite(fd, data, PAGE, page * PAGE) != PAGE || fsync(fd) != 0)
			fail(file);
		one[number] = now() - start;
		start = now();
		if (write(log, data, PAGE) != PAGE || fdatasync(log) != 0)
			fail(other);
		two[number] = now() - start;
	}
	qsort(one, count, sizeof *one, ascending);
	qsort(two, count, sizeof *two, ascending);
	printf("%lld %lld\n", (long long)one[count / 2], (long long)two[count / 2]);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: client lookup|create|unlink DIR PREFIX N [SIZE] | fsync FILE OTHER N SPAN\n");
		return 2;
	}
	const char *verb = argv[1];
	long count = atol(argv[4]);

	if (strcmp(verb, "fsync") == 0 && argc == 6) {
		sync_both(argv[2], argv[3], count, atoll(argv[5]));
		return 0;
	}
	if (chdir(argv[2]) != 0)
		fail(argv[2]);
	int64_t start = now();
	if (strcmp(verb, "lookup") == 0)
		lookup(argv[3], count);
	else if (strcmp(verb, "create") == 0 && argc == 6)
		create(argv[3], count, atol(argv[5]));
	else if (strcmp(verb, "unlink") == 0)
		remove_all(argv[3], count);
	else {
		fprintf(stderr, "client: %s: no such verb, or a wrong number of arguments\n", verb);
		return 2;
	}
	printf("%lld\n", (long long)((now() - start) / count));
	return 0;
}
