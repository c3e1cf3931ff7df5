/* Signatures of ops, parsed; see op_signature.h. */
#include "tools/op_signature.h"

#include <stdio.h>
#include <string.h>

static const char kinds[] = "tlLdbyehr";

bool op_name_is_word(const char *name, size_t length) {
    for (size_t i = 0; i < length; i++) {
        bool letter = name[i] >= 'a' && name[i] <= 'z';
        bool digit = (name[i] >= '0' && name[i] <= '9') || name[i] == '_';
        if (!letter && !(digit && i > 0)) return false;
    }
    return length > 0;
}

/* One "name:kind" with its suffix, and how long each part is. */
typedef struct Word {
    const char *text;
    size_t length; /* of all of it */
    size_t name;   /* of the name */
} Word;

static Word word_at(const char *text) {
    Word word = {text, strcspn(text, " "), strcspn(text, " :")};
    return word;
}

/* Character i; 0 behind the word. */
static char char_at(Word word, size_t i) {
    return i < word.length ? word.text[i] : 0;
}

/* What is wrong with a word, to stand behind it; NULL where nothing is. */
static const char *word_fault(Word word) {
    size_t left = word.length - word.name; /* the colon, the kind, a suffix */
    char kind = char_at(word, word.name + 1), suffix = char_at(word, word.name + 2);
    if (!op_name_is_word(word.text, word.name)) return "has no name of letters, digits and _";
    if (word.name > OP_MOST_PARAM_NAME) return "has a name of more than 13 characters";
    if (!kind) return "has no kind";
    if (!strchr(kinds, kind)) return "has a kind that is none of t l L d b y e h r";
    if (!suffix) return NULL;
    if (left > 3 || !strchr("?*~", suffix)) return "goes on behind its kind";
    if (suffix == '~')
        return strchr("lLhd", kind) ? NULL : "has ~, which only l, L, h and d may have";
    return kind == 't' ? NULL : "has ? or *, which only t may have";
}

static OpParam param_of(Word word) {
    OpParam param = {.kind = char_at(word, word.name + 1)};
    char suffix = char_at(word, word.name + 2);
    memcpy(param.name, word.text, word.name);
    param.is_real = suffix == '~' && param.kind == 'd';
    param.is_size = suffix == '~' && param.kind != 'd';
    param.suffix = suffix == '~' ? 0 : suffix;
    return param;
}

static bool is_there(const Signature *signature, const OpParam *param) {
    for (int32_t i = 0; i < signature->count; i++)
        if (strcmp(signature->params[i].name, param->name) == 0) return true;
    return false;
}

bool op_signature_parse(const char *text, Signature *out, char fault[OP_MOST_FAULT]) {
    *out = (Signature){.count = 0};
    while (*text) {
        Word word = word_at(text);
        const char *wrong = word_fault(word);
        if (!wrong && out->count == OP_MOST_PARAMS) wrong = "is one more than an op may have, 8";
        OpParam param = wrong ? (OpParam){.kind = 0} : param_of(word);
        if (!wrong && is_there(out, &param)) wrong = "has the name of another";
        text += word.length;
        if (!wrong && text[0] == ' ' && (text[1] == ' ' || !text[1]))
            wrong = "is followed by a blank too many";
        if (wrong) {
            int length = word.length < 40 ? (int)word.length : 40;
            snprintf(fault, OP_MOST_FAULT, "parameter \"%.*s\" %s", length, word.text, wrong);
            return false;
        }
        out->params[out->count++] = param;
        text += *text == ' ';
    }
    return true;
}
