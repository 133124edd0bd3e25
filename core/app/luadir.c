#include "app/luadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

#define FILE_MAX (1 << 20)

static const char *const folders[] = { "controllers", "lib" };

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the *.lua files of one folder, sorted. */
static int
names_of(const char *folder, char ***out, size_t *n)
{
	*out = NULL;
	*n = 0;
	DIR *d = opendir(folder);
	if (d == NULL)
		return errno == ENOENT ? 0 : -1;
	for (struct dirent *f; (f = readdir(d)) != NULL;) {
		size_t len = strlen(f->d_name);
		if (f->d_name[0] == '.' || len < 5 || strcmp(f->d_name + len - 4, ".lua") != 0)
			continue;
		*out = xrealloc(*out, (*n + 1) * sizeof **out);
		(*out)[(*n)++] = xstrdup(f->d_name);
	}
	closedir(d);
	if (*n > 0)
		qsort(*out, *n, sizeof **out, by_name);
	return 0;
}

static char *
slurp(const char *path, size_t *len, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		err_set(e, ERR_INVALID,
			"%s: can not be read as a script: a file up to 1 MiB is wanted", path);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	char *text = xmalloc((size_t)st.st_size + 1);
	*len = 0;
	for (ssize_t got; (got = read(fd, text + *len, (size_t)st.st_size - *len)) > 0;)
		*len += (size_t)got;
	text[*len] = '\0';
	close(fd);
	return text;
}

int
luadir_read(void *arg, const char *dir, struct vm_source **out, size_t *n, struct err *e)
{
	(void)arg;
	int r = 0;
	*out = NULL;
	*n = 0;
	struct stat st;
	if (stat(dir, &st) < 0)
		return err_set(e, ERR_NOT_FOUND, "%s: %s: name a folder with controllers/ or lib/",
			dir, strerror(errno));
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char *folder = xasprintf("%s/%s", dir, folders[i]);
		char **name;
		size_t count;
		if (names_of(folder, &name, &count) < 0)
			r = err_set(e, ERR_NOT_FOUND, "%s: %s: controllers and lib are folders",
				folder, strerror(errno));
		for (size_t k = 0; k < count; k++) {
			struct vm_source s;
			char *path = xasprintf("%s/%s", folder, name[k]);
			if (r == 0 && (s.text = slurp(path, &s.len, e)) != NULL) {
				s.name = xasprintf(
					"%s.%.*s", folders[i], (int)strlen(name[k]) - 4, name[k]);
				s.path = xstrdup(path);
				*out = xrealloc(*out, (*n + 1) * sizeof **out);
				(*out)[(*n)++] = s;
			} else {
				r = -1;
			}
			free(path);
			free(name[k]);
		}
		free(name);
		free(folder);
	}
	if (r == 0 && *n == 0)
		return err_set(e, ERR_NOT_FOUND,
			"%s: no scripts there: put them in controllers/ or lib/", dir);
	if (r < 0) {
		luadir_free(*out, *n);
		*out = NULL;
		*n = 0;
	}
	return r;
}

void
luadir_free(struct vm_source *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)list[i].name);
		free((char *)list[i].path);
		free((char *)list[i].text);
	}
	free(list);
}

uint64_t
luadir_stamp(const char *dir)
{
	uint64_t h = 0;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char *folder = xasprintf("%s/%s", dir, folders[i]);
		char **name;
		size_t count;
		if (names_of(folder, &name, &count) == 0) {
			for (size_t k = 0; k < count; k++) {
				struct stat st;
				char *path = xasprintf("%s/%s", folder, name[k]);
				h = hash_fnv(path, strlen(path), h);
				if (stat(path, &st) == 0) {
					h = hash_fnv(&st.st_mtim, sizeof st.st_mtim, h);
					h = hash_fnv(&st.st_size, sizeof st.st_size, h);
				}
				free(path);
				free(name[k]);
			}
			free(name);
		}
		free(folder);
	}
	return h;
}
