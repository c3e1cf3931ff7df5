/* The disk cache: whatever happens to its files, an entry is right or a miss. */
#include "base/map.h"
#include "runtime/kernels/cache_folder.h"
#include "runtime/kernels/disk_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_backend.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { SOME_USER = 65534 };

/* A cache in a folder of its own with one known entry. */
typedef struct Fixture {
    char folder[256];  /* private folder */
    char path[512];    /* the entry's file, once stored */
    DiskCache *cache;  /* open on it */
    CacheKey key;      /* of the entry */
    uint8_t code[128]; /* its code */
} Fixture;

static const char some_text[] = "kernel {\n  params 3\n}\n";

static CacheCode fixture_code(const Fixture *f) {
    return (CacheCode){f->code, sizeof f->code, 64};
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    Schedule schedule = {0};
    *state = f;
    if (!f || !fresh_folder(f->folder, sizeof f->folder)) return -1;
    f->cache = disk_cache_open(f->folder, 1 << 20);
    for (size_t i = 0; i < sizeof f->code; i++) f->code[i] = (uint8_t)(i * 7);
    return f->cache && cache_key_make(some_text, strlen(some_text), ISA_AVX2, &schedule, &f->key)
               ? 0
               : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    disk_cache_close(f->cache);
    remove_folder(f->folder);
    free(f);
    return 0;
}

/* Stores the known entry and finds its file. */
static void store(Fixture *f) {
    CacheCode code = fixture_code(f);
    disk_cache_store(f->cache, &f->key, &code);
    DIR *folder = opendir(f->folder);
    assert_non_null(folder);
    f->path[0] = '\0';
    for (struct dirent *item; (item = readdir(folder));)
        if (item->d_name[0] == 'k')
            snprintf(f->path, sizeof f->path, "%.200s/%.200s", f->folder, item->d_name);
    closedir(folder);
    assert_string_not_equal(f->path, "");
}

/* Loads the known entry; a hit must have the right content. */
static DiskResult load(Fixture *f) {
    DiskEntry entry;
    DiskResult result = disk_cache_load(f->cache, &f->key, &entry);
    if (result == DISK_HIT) {
        assert_int_equal(entry.code.size, sizeof f->code);
        assert_int_equal(entry.code.entry, 64);
        assert_memory_equal(entry.code.bytes, f->code, sizeof f->code);
    }
    mem_free(entry.block);
    return result;
}

static bool exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

static size_t read_file(const char *path, char *bytes, size_t capacity) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, capacity, file);
    fclose(file);
    return size;
}

/* Replaces the entry's file by these bytes, for the user alone. */
static void write_file(const char *path, const char *bytes, size_t size) {
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static void entry_survives_a_round_trip(void **state) {
    Fixture *f = *state;
    struct stat info;
    assert_int_equal(load(f), DISK_MISS);
    store(f);
    assert_int_equal(load(f), DISK_HIT);
    assert_int_equal(count_files(f->folder, ""), 1);
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void same_hash_with_other_text_is_a_miss(void **state) {
    Fixture *f = *state;
    store(f);
    DiskEntry entry;
    CacheKey other = f->key;
    other.text = "kernel {\n  params 4\n}\n";
    assert_int_equal(disk_cache_load(f->cache, &other, &entry), DISK_MISS);
    other = f->key;
    other.isa = ISA_AVX512;
    assert_int_equal(disk_cache_load(f->cache, &other, &entry), DISK_MISS);
    other = f->key;
    other.schedule = 1;
    assert_int_equal(disk_cache_load(f->cache, &other, &entry), DISK_MISS);
    assert_int_equal(load(f), DISK_HIT);
}

static void file_cut_anywhere_is_corrupt_and_removed(void **state) {
    Fixture *f = *state;
    char bytes[4096];
    store(f);
    size_t size = read_file(f->path, bytes, sizeof bytes);
    assert_true(size > 200 && size < sizeof bytes);
    for (size_t length = 0; length < size; length++) {
        write_file(f->path, bytes, length);
        assert_int_equal(load(f), DISK_CORRUPT);
        assert_false(exists(f->path));
    }
    bytes[size] = 0;
    write_file(f->path, bytes, size + 1);
    assert_int_equal(load(f), DISK_CORRUPT);
    write_file(f->path, bytes, size);
    assert_int_equal(load(f), DISK_HIT);
}

static void file_with_any_byte_changed_is_corrupt_and_removed(void **state) {
    Fixture *f = *state;
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    char bytes[4096];
    store(f);
    size_t size = read_file(f->path, bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        for (size_t j = 0; j < sizeof flips; j++) {
            bytes[i] = (char)(bytes[i] ^ flips[j]);
            write_file(f->path, bytes, size);
            assert_int_equal(load(f), DISK_CORRUPT);
            assert_false(exists(f->path));
            bytes[i] = (char)(bytes[i] ^ flips[j]);
        }
    }
}

/* Recomputes the checksum of a changed file: bytes 8 … 23 over everything after them. */
static void seal(char *bytes, size_t size) {
    Hash128 sum = hash_bytes128(bytes + 24, size - 24);
    memcpy(bytes + 8, &sum, sizeof sum);
}

static void entry_of_another_compiler_is_a_miss_and_stays(void **state) {
    Fixture *f = *state;
    char bytes[4096];
    store(f);
    size_t size = read_file(f->path, bytes, sizeof bytes), at = 0;
    while (at + 5 < size && memcmp(bytes + at, "llvm-", 5) != 0) at++;
    assert_true(at + 5 < size);
    bytes[at] = 'L';
    seal(bytes, size);
    write_file(f->path, bytes, size);
    assert_int_equal(load(f), DISK_MISS);
    assert_true(exists(f->path));
    store(f);
    assert_int_equal(load(f), DISK_HIT);
}

static void lengths_that_do_not_fit_are_corrupt_even_with_a_right_checksum(void **state) {
    Fixture *f = *state;
    static const uint64_t values[] = {0, 1, 1u << 31, UINT64_MAX, UINT64_MAX - 63};
    char bytes[4096], changed[4096];
    store(f);
    size_t size = read_file(f->path, bytes, sizeof bytes);
    for (size_t word = 24; word + 8 <= 88; word += 8) { /* format … entry */
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            bool valid_entry = word == 80 && values[j] < sizeof f->code;
            memcpy(changed, bytes, size);
            memcpy(changed + word, &values[j], 8);
            seal(changed, size);
            if (valid_entry || memcmp(changed, bytes, size) == 0) continue;
            write_file(f->path, changed, size);
            assert_int_not_equal(load(f), DISK_HIT);
        }
    }
}

static void file_that_others_may_write_is_removed(void **state) {
    Fixture *f = *state;
    store(f);
    assert_int_equal(chmod(f->path, 0666), 0);
    assert_int_equal(load(f), DISK_CORRUPT);
    assert_false(exists(f->path));
    if (geteuid() != 0) return;
    store(f);
    assert_int_equal(chown(f->path, SOME_USER, SOME_USER), 0);
    assert_int_equal(load(f), DISK_CORRUPT);
    assert_false(exists(f->path));
}

static void what_is_no_plain_file_is_not_followed_or_waited_for(void **state) {
    Fixture *f = *state;
    char elsewhere[512], bytes[4096];
    store(f);
    size_t size = read_file(f->path, bytes, sizeof bytes);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", f->folder);
    write_file(elsewhere, bytes, size);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(symlink(elsewhere, f->path), 0);
    assert_int_equal(load(f), DISK_CORRUPT);
    assert_false(exists(f->path));
    assert_true(exists(elsewhere));
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(load(f), DISK_CORRUPT);
    assert_false(exists(f->path));
    assert_int_equal(mkdir(f->path, 0700), 0);
    CacheCode code = fixture_code(f);
    disk_cache_store(f->cache, &f->key, &code); /* a folder is not replaced */
    assert_false(disk_cache_read_only(f->cache));
    assert_int_equal(count_files(f->folder, "tmp-"), 0);
    assert_int_equal(load(f), DISK_CORRUPT);
    assert_false(exists(f->path));
    store(f);
    assert_int_equal(load(f), DISK_HIT);
}

static void folder_is_made_private_and_refused_if_it_is_not(void **state) {
    Fixture *f = *state;
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/made", f->folder);
    DiskCache *cache = disk_cache_open(path, 1 << 20);
    assert_non_null(cache);
    disk_cache_close(cache);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(chmod(path, 0720), 0);
    assert_null(disk_cache_open(path, 1 << 20));
    assert_int_equal(chmod(path, 0702), 0);
    assert_null(disk_cache_open(path, 1 << 20));
    assert_int_equal(chmod(path, 0755), 0);
    cache = disk_cache_open(path, 1 << 20);
    assert_non_null(cache);
    disk_cache_close(cache);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, SOME_USER, SOME_USER), 0);
        assert_null(disk_cache_open(path, 1 << 20));
    }
    store(f);
    assert_null(disk_cache_open(f->path, 1 << 20)); /* a file */
    assert_null(disk_cache_open("/proc/self/nothing/here", 1 << 20));
}

/* Somebody puts a link to a folder in the cache's place. */
static void folder_swapped_meanwhile_is_not_followed(void **state) {
    Fixture *f = *state;
    char old[300], victim[300];
    snprintf(old, sizeof old, "%s.old", f->folder);
    snprintf(victim, sizeof victim, "%s.victim", f->folder);
    store(f);
    assert_int_equal(rename(f->folder, old), 0);
    assert_int_equal(mkdir(victim, 0777) | chmod(victim, 0777), 0);
    assert_int_equal(symlink(victim, f->folder), 0);
    for (int owner = 0; owner < 2; owner++) {
        CacheCode code = fixture_code(f);
        disk_cache_store(f->cache, &f->key, &code);
        assert_int_equal(load(f), DISK_MISS);
        disk_cache_trim(f->cache);
        assert_int_equal(count_files(victim, ""), 0);
        if (geteuid() != 0) break;
        assert_int_equal(chmod(victim, 0700), 0); /* it would do, but for whose link it is */
        assert_int_equal(lchown(f->folder, SOME_USER, SOME_USER), 0);
    }
    assert_int_equal(unlink(f->folder), 0);
    assert_int_equal(rename(old, f->folder), 0);
    assert_int_equal(load(f), DISK_HIT);
    assert_int_equal(rmdir(victim), 0);
}

static void nothing_is_made_in_another_users_home(void **state) {
    Fixture *f = *state;
    char home[300], path[400];
    const char *fault;
    if (geteuid() != 0) skip();
    snprintf(home, sizeof home, "%s/home", f->folder);
    snprintf(path, sizeof path, "%s/.cache/sinter", home);
    assert_int_equal(mkdir(home, 0755), 0);
    assert_int_equal(chown(home, SOME_USER, SOME_USER), 0);
    assert_int_equal(cache_folder_open(path, true, &fault), -1);
    assert_string_equal(fault, "it would be in another user's folder");
    assert_int_equal(count_files(home, ""), 0);
    assert_int_equal(chown(home, 0, 0), 0);
    int fd = cache_folder_open(path, true, &fault);
    assert_true(fd >= 0);
    close(fd);
    remove_folder(path);
    *strrchr(path, '/') = '\0';
    remove_folder(path);
    remove_folder(home);
}

static void folder_removed_meanwhile_is_made_again(void **state) {
    Fixture *f = *state;
    store(f);
    remove_folder(f->folder);
    assert_int_equal(load(f), DISK_MISS);
    store(f);
    assert_int_equal(load(f), DISK_HIT);
}

/* Runs `body` in a child; its exit code. */
static int in_child(void (*body)(Fixture *), Fixture *f) {
    pid_t child = fork();
    if (child == 0) {
        body(f);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) _exit(__LINE__ % 250 + 1);                                               \
    } while (0)

static void write_without_permission(Fixture *f) {
    REQUIRE(chmod(f->folder, 0500) == 0);
    if (geteuid() == 0)
        REQUIRE(chown(f->folder, SOME_USER, SOME_USER) == 0 &&
                setresuid(SOME_USER, SOME_USER, SOME_USER) == 0);
    CacheCode code = fixture_code(f);
    disk_cache_store(f->cache, &f->key, &code);
    REQUIRE(disk_cache_read_only(f->cache));
    REQUIRE(load(f) == DISK_MISS);
    disk_cache_store(f->cache, &f->key, &code);
}

static void write_beyond_the_file_size_limit(Fixture *f) {
    struct rlimit limit = {16, 16};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CacheCode code = fixture_code(f);
    disk_cache_store(f->cache, &f->key, &code);
    REQUIRE(disk_cache_read_only(f->cache));
}

static void folder_that_cannot_be_written_turns_writing_off(void **state) {
    Fixture *f = *state;
    assert_int_equal(in_child(write_beyond_the_file_size_limit, f), 0);
    assert_int_equal(in_child(write_without_permission, f), 0);
    if (geteuid() == 0) assert_int_equal(chown(f->folder, 0, 0), 0);
    assert_int_equal(chmod(f->folder, 0700), 0);
    assert_int_equal(count_files(f->folder, ""), 0);
}

/* Sets a file's time to `age` seconds ago. */
static void set_age(const char *path, time_t age) {
    struct timespec times[2] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void hit_renews_an_old_entry(void **state) {
    Fixture *f = *state;
    struct stat info;
    store(f);
    set_age(f->path, 100000);
    assert_int_equal(load(f), DISK_HIT);
    assert_int_equal(stat(f->path, &info), 0);
    assert_true(time(NULL) - info.st_mtime < 100);
    set_age(f->path, 60); /* young enough: no write for it */
    assert_int_equal(load(f), DISK_HIT);
    assert_int_equal(stat(f->path, &info), 0);
    assert_true(time(NULL) - info.st_mtime >= 59);
}

static void clock_that_was_set_back_leaves_nothing_young_for_ever(void **state) {
    Fixture *f = *state;
    char temp[512];
    struct stat info;
    store(f);
    set_age(f->path, -1000000);
    assert_int_equal(load(f), DISK_HIT);
    assert_int_equal(stat(f->path, &info), 0);
    assert_true(info.st_mtime - time(NULL) < 100); /* renewed */
    snprintf(temp, sizeof temp, "%s/tmp-1-2-3", f->folder);
    write_file(temp, "x", 1);
    set_age(temp, -1000000);
    disk_cache_trim(f->cache);
    assert_false(exists(temp));
    assert_int_equal(unlink(f->path), 0);
    /* An entry from the future may be any age, so it goes first. */
    static const time_t ages[] = {1000, -1000000, 900, 800};
    char paths[4][512];
    for (int i = 0; i < 4; i++) {
        snprintf(paths[i], sizeof paths[i], "%.200s/k%032d-%08d", f->folder, i, 1);
        write_file(paths[i], "0123456789", 10);
        set_age(paths[i], ages[i]);
    }
    DiskCache *small = disk_cache_open(f->folder, 36);
    assert_non_null(small);
    disk_cache_trim(small); /* down to 27 */
    assert_int_equal(disk_cache_evictions(small), 2);
    assert_true(!exists(paths[0]) && !exists(paths[1]) && exists(paths[2]) && exists(paths[3]));
    disk_cache_close(small);
}

static void trim_removes_the_least_used_and_only_its_own(void **state) {
    Fixture *f = *state;
    enum { ENTRIES = 20, CODE = 4096 };
    static uint8_t bytes[CODE];
    CacheCode code = {bytes, CODE, 0};
    char paths[ENTRIES][512], other[512];
    Schedule schedule = {0};
    DiskCache *small = disk_cache_open(f->folder, 10 * (CODE + 256));
    assert_non_null(small);
    snprintf(other, sizeof other, "%s/notes", f->folder);
    write_file(other, "mine", 4);
    for (int i = 0; i < ENTRIES; i++) {
        char text[32], name[CACHE_NAME_LENGTH];
        CacheKey key;
        snprintf(text, sizeof text, "text %d", i);
        assert_true(cache_key_make(text, strlen(text), ISA_AVX2, &schedule, &key));
        disk_cache_store(f->cache, &key, &code);
        cache_key_name(key.hash, name);
        DIR *folder = opendir(f->folder);
        for (struct dirent *item; (item = readdir(folder));)
            if (strncmp(item->d_name, name, strlen(name)) == 0)
                snprintf(paths[i], sizeof paths[i], "%.200s/%.200s", f->folder, item->d_name);
        closedir(folder);
        set_age(paths[i], 1000 - i);
    }
    disk_cache_trim(small);
    int left = count_files(f->folder, "k");
    assert_in_range(left, 6, 8); /* three quarters of 10 */
    for (int i = 0; i < ENTRIES; i++) assert_int_equal(exists(paths[i]), i >= ENTRIES - left);
    assert_int_equal(disk_cache_evictions(small), ENTRIES - left);
    assert_true(exists(other));
    disk_cache_close(small);
}

static void stores_keep_to_the_budget_by_themselves(void **state) {
    Fixture *f = *state;
    enum { CODE = 4096 };
    static uint8_t bytes[CODE];
    CacheCode code = {bytes, CODE, 0};
    Schedule schedule = {0};
    DiskCache *small = disk_cache_open(f->folder, 32 * CODE);
    DiskCache *none = disk_cache_open(f->folder, 0);
    assert_true(small && none);
    for (int i = 0; i < 200; i++) {
        char text[32];
        CacheKey key;
        snprintf(text, sizeof text, "text %d", i);
        assert_true(cache_key_make(text, strlen(text), ISA_AVX2, &schedule, &key));
        disk_cache_store(i % 2 ? small : none, &key, &code);
        assert_true(count_files(f->folder, "k") <= 34);
    }
    assert_true(count_files(f->folder, "k") >= 20);
    disk_cache_close(small);
    disk_cache_close(none);
}

static void abandoned_temporary_files_are_removed_later(void **state) {
    Fixture *f = *state;
    char old[512], young[512];
    snprintf(old, sizeof old, "%s/tmp-1-2-3", f->folder);
    snprintf(young, sizeof young, "%s/tmp-4-5-6", f->folder);
    write_file(old, "x", 1);
    write_file(young, "x", 1);
    set_age(old, 7200);
    disk_cache_trim(f->cache);
    assert_false(exists(old));
    assert_true(exists(young));
}

static void folder_comes_from_the_settings(void **state) {
    (void)state;
    char path[64];
    setting_set(SETTING_CACHE_DIR, "/a/b");
    setting_set(SETTING_XDG_CACHE_HOME, "/x");
    setting_set(SETTING_HOME, "/h");
    assert_true(cache_folder_path(path, sizeof path));
    assert_string_equal(path, "/a/b");
    setting_set(SETTING_CACHE_DIR, "off");
    assert_false(cache_folder_path(path, sizeof path));
    setting_set(SETTING_CACHE_DIR, "");
    assert_true(cache_folder_path(path, sizeof path));
    assert_string_equal(path, "/x/sinter");
    setting_set(SETTING_XDG_CACHE_HOME, "relative");
    assert_true(cache_folder_path(path, sizeof path));
    assert_string_equal(path, "/h/.cache/sinter");
    setting_set(SETTING_HOME, "");
    assert_false(cache_folder_path(path, sizeof path));
    setting_set(SETTING_CACHE_DIR, "/a/path/longer/than/the/buffer");
    assert_false(cache_folder_path(path, 8));
}

static void failed_allocations_are_misses(void **state) {
    Fixture *f = *state;
    CacheCode code = fixture_code(f);
    store(f);
    int64_t live = mem_live_count();
    for (int n = 1; n <= 3; n++) {
        mem_fail_after(n, true);
        DiskResult result = load(f);
        disk_cache_store(f->cache, &f->key, &code);
        disk_cache_trim(f->cache);
        DiskCache *other = disk_cache_open(f->folder, 1);
        mem_fail_after(0, false);
        disk_cache_close(other);
        assert_int_equal(result, n == 1 ? DISK_MISS : DISK_HIT);
        assert_int_equal(mem_live_count(), live);
    }
    assert_int_equal(load(f), DISK_HIT);
    assert_int_equal(count_files(f->folder, "tmp-"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(entry_survives_a_round_trip),
        CASE(same_hash_with_other_text_is_a_miss),
        CASE(file_cut_anywhere_is_corrupt_and_removed),
        CASE(file_with_any_byte_changed_is_corrupt_and_removed),
        CASE(entry_of_another_compiler_is_a_miss_and_stays),
        CASE(lengths_that_do_not_fit_are_corrupt_even_with_a_right_checksum),
        CASE(file_that_others_may_write_is_removed),
        CASE(what_is_no_plain_file_is_not_followed_or_waited_for),
        CASE(folder_is_made_private_and_refused_if_it_is_not),
        CASE(folder_swapped_meanwhile_is_not_followed),
        CASE(nothing_is_made_in_another_users_home),
        CASE(folder_removed_meanwhile_is_made_again),
        CASE(folder_that_cannot_be_written_turns_writing_off),
        CASE(hit_renews_an_old_entry),
        CASE(clock_that_was_set_back_leaves_nothing_young_for_ever),
        CASE(trim_removes_the_least_used_and_only_its_own),
        CASE(stores_keep_to_the_budget_by_themselves),
        CASE(abandoned_temporary_files_are_removed_later),
        CASE(folder_comes_from_the_settings),
        CASE(failed_allocations_are_misses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
