/* One cache folder and many processes, on the real code generator: kill −9 at random moments while four
 * of them compile, then every kind of damage to every entry. No crash, no wrong result, no lasting
 * damage. Plain, it takes some seconds; `test_cache_process --full` does 200 functions and 200 kills
 * and all damage to all entries, and `--seed N` repeats a run; see docs/disk_cache.md. */
#include "cache_damage.h"
#include "cache_worker.h"

#include "runtime/kernels/disk_cache.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 4, BUDGET_MB = 64 };

/* How much is done; the plain suite's numbers. */
static struct {
    int functions;     /* compiled by each worker */
    int kills;         /* in the storm */
    int damage_rounds; /* in each, all entries are damaged */
    unsigned seed;     /* of what is drawn */
    unsigned random;   /* state of the drawing */
} run = {24, 16, 3, 0, 0};

static char folder[256];  /* the shared cache */
static uint64_t expected; /* hash of all results, by a worker without a cache */

/* Worker `i` goes through the functions in an order of its own. */
static WorkerTask task_of(int i) {
    static const int strides[WORKERS] = {1, 7, 11, 13}; /* coprime to 24 and 200 */
    return (WorkerTask){folder, BUDGET_MB, run.functions, i * run.functions / WORKERS,
                        strides[i % WORKERS]};
}

static int setup_all(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.200s/sinter-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) return -1;
    print_message("seed %u\n", run.seed);
    WorkerTask task = task_of(0);
    task.folder = "off";
    WorkerReport report = worker_run(&task);
    expected = report.bits;
    return report.compiles >= run.functions && report.misses == 0 ? 0 : -1;
}

static void empty_folder(void) {
    PathList list = path_list(folder, "");
    for (int i = 0; i < list.count; i++) (void)remove(list.paths[i]);
    path_list_free(&list);
}

static int teardown_all(void **state) {
    (void)state;
    empty_folder();
    return rmdir(folder);
}

static int count_files(const char *prefix) {
    PathList list = path_list(folder, prefix);
    int count = list.count;
    path_list_free(&list);
    return count;
}

/* A worker with the whole folder to itself. */
static WorkerReport run_alone(void) {
    WorkerTask task = task_of(0);
    WorkerReport report = worker_run(&task);
    assert_true(report.bits == expected);
    return report;
}

/* Every kernel is on disk and good. */
static void expect_all_on_disk(void) {
    WorkerReport report = run_alone();
    assert_int_equal(report.compiles, 0);
    assert_int_equal(report.corrupt, 0);
    assert_int_equal(report.misses, 0);
    assert_int_equal(report.hits, count_files("k"));
}

/* ---- the storm ------------------------------------------------------------------------------- */

/* Waits until a process begins or fills a temporary file and returns it; 0 after `ms`. */
static pid_t writer_now(int watch, int ms) {
    _Alignas(struct inotify_event) char events[4096];
    struct pollfd ready = {watch, POLLIN, 0};
    while (read(watch, events, sizeof events) > 0) {
    } /* what is past */
    if (poll(&ready, 1, ms) <= 0) return 0;
    ssize_t size = read(watch, events, sizeof events);
    struct inotify_event event;
    long pid;
    if (size < (ssize_t)sizeof event) return 0;
    memcpy(&event, events, sizeof event);
    return event.len && sscanf(events + sizeof event, "tmp-%ld-", &pid) == 1 ? (pid_t)pid : 0;
}

/* Kills a worker at a random moment, or one that is writing just now; starts it again. */
static void kill_one(Child *workers, int watch) {
    WorkerReport report;
    int ms = 1 + (int)(random_next(&run.random) % 150);
    int victim = (int)(random_next(&run.random) % WORKERS);
    if (random_next(&run.random) % 2) {
        pid_t writer = writer_now(watch, ms);
        for (int i = 0; i < WORKERS; i++)
            if (workers[i].pid == writer) victim = i;
    } else {
        usleep((useconds_t)ms * 1000);
    }
    kill(workers[victim].pid, SIGKILL);
    if (worker_ended(&workers[victim], &report)) assert_true(report.bits == expected);
    WorkerTask task = task_of(victim);
    task.first = (int)(random_next(&run.random) % (unsigned)run.functions);
    workers[victim] = worker_start(&task);
}

/* Removes a part of the entries, so that there is always something to compile. */
static void remove_some(void) {
    PathList list = path_list(folder, "k");
    for (int i = 0; i < list.count; i++)
        if (random_next(&run.random) % 3 == 0) (void)unlink(list.paths[i]);
    path_list_free(&list);
}

/* As if all temporary files had been left long ago. */
static void age_temporaries(void) {
    struct timespec times[2] = {{time(NULL) - 7200, 0}, {time(NULL) - 7200, 0}};
    PathList list = path_list(folder, "tmp-");
    for (int i = 0; i < list.count; i++)
        assert_int_equal(utimensat(AT_FDCWD, list.paths[i], times, 0), 0);
    path_list_free(&list);
}

static void processes_killed_while_compiling_lose_nothing(void **state) {
    (void)state;
    Child workers[WORKERS];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(watch >= 0);
    assert_true(inotify_add_watch(watch, folder, IN_CREATE | IN_MODIFY) >= 0);
    for (int i = 0; i < WORKERS; i++) {
        WorkerTask task = task_of(i);
        workers[i] = worker_start(&task);
    }
    for (int i = 0; i < run.kills; i++) {
        kill_one(workers, watch);
        remove_some();
    }
    for (int i = 0; i < WORKERS; i++) {
        WorkerReport report = worker_finish(&workers[i]);
        assert_true(report.bits == expected);
        assert_int_equal(report.corrupt, 0); /* an entry is whole or absent */
    }
    close(watch);
    int left = count_files("tmp-");
    print_message("%d of %d kills left a temporary file\n", left, run.kills);
    assert_in_range(left, 0, run.kills);
    (void)run_alone(); /* what remove_some took after all had passed it */
    expect_all_on_disk();
    age_temporaries();
    DiskCache *cache = disk_cache_open(folder, (int64_t)BUDGET_MB << 20);
    assert_non_null(cache);
    disk_cache_trim(cache);
    disk_cache_close(cache);
    assert_int_equal(count_files("tmp-"), 0);
    expect_all_on_disk();
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to) {
    char bytes[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    assert_true(size > 0 && fwrite(bytes, 1, size, out) == size);
    fclose(in);
    fclose(out);
    assert_int_equal(chmod(to, 0600), 0);
}

/* Damages every entry, each in another way; the kinds move on by one entry from round to round. */
static void damage_all(int round) {
    char spare[2][320];
    PathList list = path_list(folder, "k");
    assert_true(list.count > 1);
    for (int i = 0; i < 2; i++) { /* good entries of the wrong name */
        snprintf(spare[i], sizeof spare[i], "%s/spare%d", folder, i);
        copy_file(list.paths[i], spare[i]);
    }
    for (int i = 0; i < list.count; i++) {
        int kind = (i + round * list.count) % damage_count();
        if (list.count >= damage_count()) kind = (i + round) % damage_count();
        damage_apply(kind, list.paths[i], spare[i == 0], &run.random);
    }
    path_list_free(&list);
}

static void damaged_entries_are_never_used_and_are_replaced(void **state) {
    (void)state;
    (void)run_alone();
    int entries = count_files("k");
    int rounds = run.damage_rounds;
    if (rounds * entries < damage_count()) rounds = damage_count() / entries + 1;
    for (int round = 0; round < rounds; round++) {
        damage_all(round);
        WorkerReport report = run_alone();
        assert_int_equal(report.hits, 0);
        assert_int_equal(report.compiles, entries);
        assert_true(report.corrupt > 0 && report.corrupt <= entries);
        assert_int_equal(count_files("tmp-"), 0);
        assert_int_equal(count_files("k"), entries);
        expect_all_on_disk();
    }
}

static void processes_repair_a_damaged_folder_together(void **state) {
    (void)state;
    Child workers[WORKERS];
    (void)run_alone();
    damage_all((int)(random_next(&run.random) % 1000));
    for (int i = 0; i < WORKERS; i++) {
        WorkerTask task = task_of(i);
        workers[i] = worker_start(&task);
    }
    for (int i = 0; i < WORKERS; i++) assert_true(worker_finish(&workers[i]).bits == expected);
    (void)run_alone(); /* one may have removed what another had just replaced */
    expect_all_on_disk();
}

static void folder_that_is_not_ours_is_not_used(void **state) {
    (void)state;
    (void)run_alone();
    assert_int_equal(chmod(folder, 0720), 0);
    WorkerReport report = run_alone();
    assert_int_equal(report.hits + report.misses, 0);
    assert_true(report.compiles > 0);
    assert_int_equal(chmod(folder, 0700), 0);
    expect_all_on_disk();
}

/* ---- budget ---------------------------------------------------------------------------------- */

/* Fills the folder with unused entries of 64 KiB, a day old. */
static void fill_with_old_entries(int count) {
    static char bytes[64 << 10];
    struct timespec times[2] = {{time(NULL) - 86400, 0}, {time(NULL) - 86400, 0}};
    for (int i = 0; i < count; i++) {
        char path[320];
        snprintf(path, sizeof path, "%s/k%032d-%08d", folder, i, 1);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
        fclose(file);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
}

static int64_t bytes_of_entries(void) {
    int64_t total = 0;
    struct stat info;
    PathList list = path_list(folder, "k");
    for (int i = 0; i < list.count; i++)
        if (stat(list.paths[i], &info) == 0) total += info.st_size;
    path_list_free(&list);
    return total;
}

/* Entries vanish under the readers all the time: four workers, and a fifth process's trimming to a
 * budget below what is needed. */
static void eviction_by_others_is_only_a_miss(void **state) {
    (void)state;
    Child workers[WORKERS];
    DiskCache *greedy = disk_cache_open(folder, 16 << 10);
    assert_non_null(greedy);
    for (int i = 0; i < WORKERS; i++) {
        WorkerTask task = task_of(i);
        workers[i] = worker_start(&task);
    }
    for (int alive = WORKERS; alive;) {
        usleep(2000);
        disk_cache_trim(greedy);
        alive = 0;
        for (int i = 0; i < WORKERS; i++) {
            siginfo_t info = {0};
            waitid(P_PID, (id_t)workers[i].pid, &info, WEXITED | WNOHANG | WNOWAIT);
            alive += info.si_pid == 0;
        }
    }
    assert_true(disk_cache_evictions(greedy) > 0);
    disk_cache_close(greedy);
    for (int i = 0; i < WORKERS; i++) {
        WorkerReport report = worker_finish(&workers[i]);
        assert_true(report.bits == expected);
        assert_int_equal(report.corrupt, 0);
    }
}

static void workers_keep_the_folder_to_its_budget(void **state) {
    (void)state;
    enum { MANY = 60 }; /* functions whose code is more than a process stores unchecked */
    Child workers[WORKERS];
    empty_folder();
    fill_with_old_entries(64);
    WorkerTask alone = {folder, 1, MANY, 0, 1};
    (void)worker_run(&alone);
    assert_true(bytes_of_entries() <= 1 << 20);
    fill_with_old_entries(64);
    for (int i = 0; i < WORKERS; i++) {
        WorkerTask task = {folder, 1, MANY, i * MANY / WORKERS, 1};
        workers[i] = worker_start(&task);
    }
    for (int i = 0; i < WORKERS; i++) (void)worker_finish(&workers[i]);
    empty_folder();
    (void)run_alone();
    expect_all_on_disk();
}

/* ---- command line ---------------------------------------------------------------------------- */

static int read_options(int argc, char **argv) {
    run.seed = (unsigned)time(NULL) ^ (unsigned)getpid() << 8;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0) {
            run.functions = 200;
            run.kills = 200;
            run.damage_rounds = damage_count();
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            run.seed = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: test_cache_process [--full] [--seed N]\n");
            return 2;
        }
    }
    run.random = run.seed | 1;
    return 0;
}

int main(int argc, char **argv) {
    int status = worker_main(argc, argv);
    if (status >= 0) return status;
    status = read_options(argc, argv);
    if (status) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_killed_while_compiling_lose_nothing),
        cmocka_unit_test(damaged_entries_are_never_used_and_are_replaced),
        cmocka_unit_test(processes_repair_a_damaged_folder_together),
        cmocka_unit_test(folder_that_is_not_ours_is_not_used),
        cmocka_unit_test(eviction_by_others_is_only_a_miss),
        cmocka_unit_test(workers_keep_the_folder_to_its_budget),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
