// SPDX-License-Identifier: MIT
#include "cli/option.h"

#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void option_set_add(struct option_set *set, const struct option_spec *table)
{
    for (; table != NULL && table->name != NULL; table++) {
        assert(set->count < OPTION_TABLE_MAX);
        set->specs[set->count++] = table;
    }
}

static int find_long(const struct option_set *set, struct str name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (str_equal_text(name, set->specs[i]->name))
            return (int) i;
    }
    return -1;
}

static int find_letter(const struct option_set *set, char letter)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->specs[i]->letter == letter)
            return (int) i;
    }
    return -1;
}

static bool is_choice(const char *choices, const char *text)
{
    struct str rest = str_of(choices), word;

    while (rest.size > 0) {
        (void) str_cut(rest, '|', &word, &rest);
        if (str_equal_text(word, text))
            return true;
    }
    return false;
}

static int take_number(const struct option_spec *spec, const char *text, uint64_t *ret,
                       struct error *err)
{
    if (str_to_u64(str_of(text), spec->maximum, ret) < 0 || *ret < spec->minimum)
        return error_set(err, -EINVAL, "--%s takes a number from %llu to %llu, not '%.60s'",
                         spec->name, (unsigned long long) spec->minimum,
                         (unsigned long long) spec->maximum, text);
    return 0;
}

static int take_value(struct option_set *set, int at, const char *text, struct error *err)
{
    const struct option_spec *spec = set->specs[at];
    struct option_value *value = &set->values[at];

    if (spec->kind == OPTION_NUMBER) {
        int r = take_number(spec, text, &value->number, err);
        if (r < 0)
            return r;
    }
    if (spec->kind == OPTION_CHOICE && !is_choice(spec->choices, text))
        return error_set(err, -EINVAL, "--%s takes %s, not '%.60s'", spec->name, spec->choices,
                         text);
    if (spec->kind == OPTION_LIST) {
        if (set->list_count == OPTION_LIST_MAX)
            return error_set(err, -EINVAL, "--%s is given more than %d times", spec->name,
                             OPTION_LIST_MAX);
        set->list[set->list_count++] = text;
    }
    value->is_given = true;
    value->text = text;
    return 0;
}

// The words that are still to be read.
struct words {
    int argc;
    char *const *argv;
    int at;
};

// A value from the next word.
static int take_next(struct option_set *set, int found, struct words *words, struct error *err)
{
    if (words->at == words->argc)
        return error_set(err, -EINVAL, "--%s needs a value (%s)", set->specs[found]->name,
                         set->specs[found]->metavar);
    return take_value(set, found, words->argv[words->at++], err);
}

static int take_long(struct option_set *set, const char *word, struct words *words,
                     struct error *err)
{
    struct str name, value;
    bool has_value = str_cut(str_of(word + 2), '=', &name, &value);
    int found = find_long(set, name);

    if (found < 0)
        return error_set(err, -EINVAL, "unknown option --" STR_FORMAT, STR_ARGUMENTS(name));
    if (set->specs[found]->kind == OPTION_FLAG) {
        if (has_value)
            return error_set(err, -EINVAL, "--%s takes no value", set->specs[found]->name);
        set->values[found].is_given = true;
        return 0;
    }
    return has_value ? take_value(set, found, value.data, err) : take_next(set, found, words, err);
}

static int take_letters(struct option_set *set, const char *word, struct words *words,
                        struct error *err)
{
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        int found = find_letter(set, *letter);
        if (found < 0)
            return error_set(err, -EINVAL, "unknown option -%c", *letter);
        if (set->specs[found]->kind != OPTION_FLAG)
            return letter[1] != '\0' ? take_value(set, found, letter + 1, err)
                                     : take_next(set, found, words, err);
        set->values[found].is_given = true;
    }
    return 0;
}

static int take_operand(struct option_set *set, const char *word, struct error *err)
{
    if (set->operand_count == OPTION_OPERANDS_MAX)
        return error_set(err, -EINVAL, "more than %d arguments", OPTION_OPERANDS_MAX);
    set->operands[set->operand_count++] = word;
    return 0;
}

int option_parse(struct option_set *set, int argc, char *const *argv, struct error *err)
{
    struct words words = {.argc = argc, .argv = argv};
    bool is_over = false; // "--" was there
    int r = 0;

    while (r == 0 && words.at < argc) {
        const char *word = argv[words.at++];
        if (is_over || word[0] != '-' || word[1] == '\0')
            r = take_operand(set, word, err);
        else if (strcmp(word, "--") == 0)
            is_over = true;
        else if (word[1] == '-')
            r = take_long(set, word, &words, err);
        else
            r = take_letters(set, word, &words, err);
    }
    return r;
}

static const struct option_value *look_up(const struct option_set *set, const char *name)
{
    int found = find_long(set, str_of(name));

    assert(found >= 0);
    return &set->values[found];
}

bool option_is_given(const struct option_set *set, const char *name)
{
    return look_up(set, name)->is_given;
}

const char *option_text(const struct option_set *set, const char *name, const char *otherwise)
{
    const struct option_value *value = look_up(set, name);

    return value->is_given ? value->text : otherwise;
}

uint64_t option_number(const struct option_set *set, const char *name, uint64_t otherwise)
{
    const struct option_value *value = look_up(set, name);

    return value->is_given ? value->number : otherwise;
}
