/* Damage to entries of the kernel cache; see cache_damage.h. */
#include "cache_damage.h"

#include "base/map.h"
#include "child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fields of an entry's header; the layout is at the top of runtime/kernels/disk_cache.c. */
enum {
    AT_MAGIC = 0,
    AT_CHECKSUM = 8,
    AT_FORMAT = 24,
    AT_ISA = 32,
    AT_SCHEDULE = 40,
    AT_HASH = 48,
    AT_TEXT_BYTES = 64,
    AT_CODE_BYTES = 72,
    AT_ENTRY = 80,
    AT_COMPILER = 88,
    AT_TEXT = 152
};

/* An entry in memory, changed before it is written back. */
typedef struct File {
    const char *path;  /* where it lies */
    const char *other; /* another entry's path */
    char *bytes;       /* its content, room for 64 more */
    size_t size;       /* its length */
    unsigned *random;  /* numbers for places and bits */
    bool gone;         /* `path` holds something else already */
} File;

static size_t code_at(const File *f) {
    uint64_t text;
    memcpy(&text, f->bytes + AT_TEXT_BYTES, sizeof text);
    return AT_TEXT + (size_t)text;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static void cut_to(File *f, size_t size) {
    f->size = size < f->size ? size : f->size - 1;
}
static void cut_to_nothing(File *f) {
    cut_to(f, 0);
}
static void cut_to_a_byte(File *f) {
    cut_to(f, 1);
}
static void cut_in_the_magic(File *f) {
    cut_to(f, AT_CHECKSUM - 1);
}
static void cut_in_the_header(File *f) {
    cut_to(f, AT_TEXT - 1);
}
static void cut_after_the_header(File *f) {
    cut_to(f, AT_TEXT);
}
static void cut_in_the_text(File *f) {
    cut_to(f, (AT_TEXT + code_at(f)) / 2);
}
static void cut_before_the_code(File *f) {
    cut_to(f, code_at(f));
}
static void cut_in_the_code(File *f) {
    cut_to(f, (code_at(f) + f->size) / 2);
}
static void cut_the_last_byte(File *f) {
    cut_to(f, f->size - 1);
}
static void cut_anywhere(File *f) {
    cut_to(f, random_next(f->random) % f->size);
}
static void grow(File *f) {
    memset(f->bytes + f->size, 0x90, 64);
    f->size += 64;
}

static void flip_at(File *f, size_t at) {
    f->bytes[at] = (char)(f->bytes[at] ^ (1 << random_next(f->random) % 8));
}
static void flip_the_magic(File *f) {
    flip_at(f, AT_MAGIC + random_next(f->random) % 8);
}
static void flip_the_checksum(File *f) {
    flip_at(f, AT_CHECKSUM + random_next(f->random) % 16);
}
static void flip_the_format(File *f) {
    flip_at(f, AT_FORMAT);
}
static void flip_the_target(File *f) {
    flip_at(f, AT_ISA);
}
static void flip_the_hash(File *f) {
    flip_at(f, AT_HASH + random_next(f->random) % 16);
}
static void flip_the_lengths(File *f) {
    flip_at(f, AT_TEXT_BYTES + random_next(f->random) % 16);
}
static void flip_the_entry(File *f) {
    flip_at(f, AT_ENTRY + random_next(f->random) % 8);
}
static void flip_the_compiler(File *f) {
    flip_at(f, AT_COMPILER + random_next(f->random) % 16);
}
static void flip_the_text(File *f) {
    flip_at(f, AT_TEXT + random_next(f->random) % (code_at(f) - AT_TEXT));
}
static void flip_the_code(File *f) {
    flip_at(f, code_at(f) + random_next(f->random) % (f->size - code_at(f)));
}
static void flip_the_first_instruction(File *f) {
    flip_at(f, code_at(f));
}
static void flip_the_last_constant(File *f) {
    flip_at(f, f->size - 1);
}
static void flip_everywhere(File *f) {
    for (size_t at = 0; at < f->size; at += 16) flip_at(f, at);
}

static void zeros(File *f) {
    memset(f->bytes, 0, f->size);
}
static void garbage(File *f) {
    for (size_t i = 0; i < f->size; i++) f->bytes[i] = (char)random_next(f->random);
}
static void hole_of_a_page(File *f) {
    size_t start = f->size / 2, size = f->size - start;
    memset(f->bytes + start, 0, size < 4096 ? size : 4096);
    f->bytes[start] = 1; /* whatever lay there */
    f->bytes[f->size - 1] = (char)~f->bytes[f->size - 1];
}

/* Makes the checksum right again, as a writer of another version would have. */
static void seal(File *f) {
    Hash128 sum = hash_bytes128(f->bytes + AT_FORMAT, f->size - AT_FORMAT);
    memcpy(f->bytes + AT_CHECKSUM, &sum, sizeof sum);
}
static void of_another_format(File *f) {
    f->bytes[AT_FORMAT]++;
    seal(f);
}
static void for_another_target(File *f) {
    f->bytes[AT_ISA] ^= 3;
    seal(f);
}
static void of_another_schedule(File *f) {
    f->bytes[AT_SCHEDULE] ^= 1;
    seal(f);
}
static void of_another_generator(File *f) {
    f->bytes[AT_COMPILER] = f->bytes[AT_COMPILER] == '0' ? '1' : '0';
    seal(f);
}
static void of_another_text(File *f) {
    f->bytes[code_at(f) - 2] ^= 1;
    seal(f);
}
static void entered_past_its_end(File *f) {
    memset(f->bytes + AT_ENTRY, 0x7f, 8);
    seal(f);
}

/* ---- what is no plain file of ours ----------------------------------------------------------- */

static void make_way(File *f) {
    assert_int_equal(unlink(f->path), 0);
    f->gone = true;
}
static void another_kernel(File *f) {
    make_way(f);
    assert_int_equal(link(f->other, f->path), 0);
}
static void link_to_another(File *f) {
    make_way(f);
    assert_int_equal(symlink(f->other, f->path), 0);
}
static void link_to_itself(File *f) {
    make_way(f);
    assert_int_equal(symlink(f->path, f->path), 0);
}
static void link_to_nothing(File *f) {
    make_way(f);
    assert_int_equal(symlink("/nonexistent/entry", f->path), 0);
}
static void folder(File *f) {
    make_way(f);
    assert_int_equal(mkdir(f->path, 0700), 0);
}
static void pipe_of_that_name(File *f) {
    make_way(f);
    assert_int_equal(mkfifo(f->path, 0600), 0);
}
static void writable_by_others(File *f) {
    f->gone = true;
    assert_int_equal(chmod(f->path, 0622), 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define KIND(name)                                                                                 \
    { #name, name }

static const struct {
    const char *name;
    void (*apply)(File *f);
} kinds[] = {
    KIND(cut_to_nothing),
    KIND(cut_to_a_byte),
    KIND(cut_in_the_magic),
    KIND(cut_in_the_header),
    KIND(cut_after_the_header),
    KIND(cut_in_the_text),
    KIND(cut_before_the_code),
    KIND(cut_in_the_code),
    KIND(cut_the_last_byte),
    KIND(cut_anywhere),
    KIND(grow),
    KIND(flip_the_magic),
    KIND(flip_the_checksum),
    KIND(flip_the_format),
    KIND(flip_the_target),
    KIND(flip_the_hash),
    KIND(flip_the_lengths),
    KIND(flip_the_entry),
    KIND(flip_the_compiler),
    KIND(flip_the_text),
    KIND(flip_the_code),
    KIND(flip_the_first_instruction),
    KIND(flip_the_last_constant),
    KIND(flip_everywhere),
    KIND(zeros),
    KIND(garbage),
    KIND(hole_of_a_page),
    KIND(of_another_format),
    KIND(for_another_target),
    KIND(of_another_schedule),
    KIND(of_another_generator),
    KIND(of_another_text),
    KIND(entered_past_its_end),
    KIND(another_kernel),
    KIND(link_to_another),
    KIND(link_to_itself),
    KIND(link_to_nothing),
    KIND(folder),
    KIND(pipe_of_that_name),
    KIND(writable_by_others),
};

int damage_count(void) {
    return (int)(sizeof kinds / sizeof kinds[0]);
}

const char *damage_name(int kind) {
    return kinds[kind].name;
}

static void read_file(File *f) {
    struct stat info;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &info) == 0 && info.st_size > AT_TEXT);
    f->size = (size_t)info.st_size;
    f->bytes = malloc(f->size + 64);
    assert_non_null(f->bytes);
    assert_int_equal(read(fd, f->bytes, f->size), (ssize_t)f->size);
    close(fd);
}

void damage_apply(int kind, const char *path, const char *other, unsigned *random) {
    File f = {.path = path, .other = other, .random = random};
    read_file(&f);
    kinds[kind].apply(&f);
    if (!f.gone) {
        int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, f.bytes, f.size), (ssize_t)f.size);
        close(fd);
    }
    free(f.bytes);
}

PathList path_list(const char *folder_path, const char *prefix) {
    PathList list = {0};
    DIR *stream = opendir(folder_path);
    assert_non_null(stream);
    for (struct dirent *item; (item = readdir(stream));) {
        if (item->d_name[0] == '.' || strncmp(item->d_name, prefix, strlen(prefix)) != 0) continue;
        list.paths = realloc(list.paths, (size_t)(list.count + 1) * sizeof *list.paths);
        assert_non_null(list.paths);
        snprintf(list.paths[list.count++], sizeof *list.paths, "%.200s/%.100s", folder_path,
                 item->d_name);
    }
    closedir(stream);
    return list;
}

void path_list_free(PathList *list) {
    free(list->paths);
    *list = (PathList){0};
}
