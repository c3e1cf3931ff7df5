/* The table of renamed words; see replay_words.h. */
#include "tests/replay_words.h"

#include "tests/replay_work.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A text's next piece: a word, blanks, or one other character. */
typedef struct Piece {
    const char *text; /* not ended by 0 */
    size_t length;    /* 0 at the end of the text */
} Piece;

static bool in_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static Piece next_piece(const char **at, const char *end) {
    const char *begin = *at, *p = begin;
    if (p < end && in_word(*p)) {
        while (p < end && in_word(*p)) p++;
    } else if (p < end && *p == ' ') {
        while (p < end && *p == ' ') p++;
    } else if (p < end) {
        p++;
    }
    *at = p;
    return (Piece){begin, (size_t)(p - begin)};
}

/* Order of a piece and an old word. */
static int compare_piece(const void *key, const void *element) {
    const Piece *piece = key;
    const RenamedWord *word = element;
    int order = strncmp(piece->text, word->old, piece->length);
    return order ? order : word->old[piece->length] ? -1 : 0;
}

static int compare_words(const void *a, const void *b) {
    return strcmp(((const RenamedWord *)a)->old, ((const RenamedWord *)b)->old);
}

/* The piece with an old word replaced and blanks made one. */
static Piece current(const ReplayWords *words, Piece piece) {
    if (piece.length == 0) return piece;
    if (*piece.text == ' ') return (Piece){piece.text, 1};
    if (!words->count || !in_word(*piece.text)) return piece;
    const RenamedWord *word =
        bsearch(&piece, words->words, (size_t)words->count, sizeof *words->words, compare_piece);
    return word ? (Piece){word->current, strlen(word->current)} : piece;
}

bool replay_words_read(ReplayWords *words, const char *path) {
    *words = (ReplayWords){.text = replay_read_file(path)};
    size_t capacity = words->text ? strlen(words->text) + 1 : 0; /* more than there are words */
    words->words = words->text ? calloc(capacity, sizeof *words->words) : NULL;
    if (!words->words) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        replay_words_free(words);
        return false;
    }
    char *rest = words->text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *old = strtok(line, " \t"), *now = old ? strtok(NULL, " \t") : NULL;
        if (old && *old != '#' && now) words->words[words->count++] = (RenamedWord){old, now};
    }
    qsort(words->words, (size_t)words->count, sizeof *words->words, compare_words);
    return true;
}

void replay_words_free(ReplayWords *words) {
    free(words->text);
    free(words->words);
    *words = (ReplayWords){.count = 0};
}

void replay_words_write(const ReplayWords *words, const char *text, size_t length, FILE *out) {
    const char *at = text, *end = text + length;
    for (Piece piece; (piece = next_piece(&at, end)).length;) {
        if (*piece.text != ' ') piece = current(words, piece);
        fwrite(piece.text, 1, piece.length, out);
    }
}

bool replay_words_same(const ReplayWords *words, const char *a, size_t a_length, const char *b,
                       size_t b_length) {
    const char *a_end = a + a_length, *b_end = b + b_length;
    for (;;) {
        Piece x = current(words, next_piece(&a, a_end)), y = current(words, next_piece(&b, b_end));
        if (x.length != y.length || memcmp(x.text, y.text, x.length) != 0) return false;
        if (!x.length) return true;
    }
}
