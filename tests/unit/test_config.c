/* SPDX-License-Identifier: MIT
 *
 * Settings: flag > environment > file > default, and what is refused. */
#include "daemon/config.h"

#include "unit.h"

static char file_path[128];

static char *const *environment_of(const char *first, const char *second)
{
    static char *environment[3];
    environment[0] = (char *) (uintptr_t) first;
    environment[1] = (char *) (uintptr_t) second;
    return environment;
}

static int load(struct config *config, char *const *environment, const char *const *flags,
                struct error *err)
{
    char *argv[16] = {(char *) (uintptr_t) "laminad"};
    int argc = 1;
    enum config_outcome outcome = CONFIG_HELP;
    for (; flags && flags[argc - 1]; argc++)
        argv[argc] = (char *) (uintptr_t) flags[argc - 1];
    int r = config_load(config, argc, argv, environment, &outcome, err);
    if (r == 0)
        assert_int_equal(outcome, CONFIG_RUN);
    return r;
}

static void write_file(const char *text)
{
    int fd = -1;
    snprintf(file_path, sizeof(file_path), "/tmp/lamina-config.XXXXXX");
    fd = mkstemp(file_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void defaults_are_the_documented_ones(void **state)
{
    struct config config;
    struct error err = {0};
    const char *flags[] = {"--config", "/dev/null", NULL};
    assert_int_equal(load(&config, NULL, flags, &err), 0);
    assert_string_equal(config.data_dir, "/var/lib/lamina");
    assert_string_equal(config.listen, "127.0.0.1:4566");
    assert_string_equal(config.region, "us-east-1");
    assert_string_equal(config.account_id, "000000000000");
    assert_int_equal(config.aws_limits, AWS_LIMITS_ENFORCE);
    assert_int_equal(config.concurrency, 1000);
    assert_int_equal(config.freeze_after_ms, 1000);
    assert_int_equal(config.keepalive_s, 600);
    config_done(&config);
}

static void the_stronger_source_wins(void **state)
{
    struct config config;
    struct error err = {0};
    write_file("# a comment\n\nregion = from-file\n  account-id=111111111111  \nconcurrency = 3\n");
    const char *flags[] = {"--config", file_path, "--region=from-flag", NULL};
    char *const *environment =
        environment_of("LAMINA_REGION=from-environment", "LAMINA_CONCURRENCY=4");
    assert_int_equal(load(&config, environment, flags, &err), 0);
    assert_string_equal(config.region, "from-flag");
    assert_int_equal(config.concurrency, 4);
    assert_string_equal(config.account_id, "111111111111");
    config_done(&config);
    unlink(file_path);
}

static void a_variable_set_to_nothing_is_not_set(void **state)
{
    struct config config;
    struct error err = {0};
    const char *flags[] = {"--config", "/dev/null", NULL};
    assert_int_equal(load(&config, environment_of("LAMINA_REGION=", NULL), flags, &err), 0);
    assert_string_equal(config.region, "us-east-1");
    config_done(&config);
}

static const struct {
    const char *flags[4];
    const char *says;
} refused[] = {
    {{"--nonsense", "1"}, "unknown option --nonsense"},
    {{"nonsense"}, "unexpected argument 'nonsense'"},
    {{"--listen"}, "--listen needs a value"},
    {{"--concurrency", "0"}, "--concurrency: '0' is outside 1 to 2000"},
    {{"--concurrency", "2001"}, "'2001' is outside"},
    {{"--concurrency", "many"}, "--concurrency: 'many' is not a valid value"},
    {{"--concurrency=-1"}, "'-1' is not a valid value"},
    {{"--aws-limits", "maybe"}, "--aws-limits: 'maybe' is not a valid value"},
    {{"--account-id", "123"}, "account-id: '123' is not twelve digits"},
    {{"--region", "US East"}, "region: 'US East' is not a region's name"},
    {{"--data-dir", "relative"}, "data-dir: 'relative' is not an absolute path"},
    {{"--log-level", "loud"}, "log-level: 'loud' is not"},
    {{"--config", "/nowhere/at/all"}, "read the configuration file '/nowhere/at/all'"},
};

static void bad_settings_are_refused_with_their_name(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct config config;
        struct error err = {0};
        assert_true(load(&config, NULL, refused[i].flags, &err) < 0);
        if (!strstr(err.text, refused[i].says))
            fail_msg("'%s' does not say '%s'", err.text, refused[i].says);
    }
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
    static const char *const texts[][2] = {
        {"region = a\nnonsense = 1\n", "line 2: unknown setting 'nonsense'"},
        {"region\n", "line 1: not `key = value`"},
        {"concurrency = x\n", "configuration file: concurrency: 'x'"},
        {"config = /etc/other\n", "unknown setting 'config'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct config config;
        struct error err = {0};
        write_file(texts[i][0]);
        const char *flags[] = {"--config", file_path, NULL};
        assert_true(load(&config, NULL, flags, &err) < 0);
        if (!strstr(err.text, texts[i][1]))
            fail_msg("'%s' does not say '%s'", err.text, texts[i][1]);
        unlink(file_path);
    }
}

static void as_flags_the_settings_are_the_same(void **state)
{
    struct config config, again;
    struct error err = {0};
    char *flags[CONFIG_FLAGS_MAX + 1] = {NULL};
    size_t count = 0;
    write_file("region = from-file\naws-limits = off\nconcurrency = 3\n");
    const char *given[] = {"--config", file_path, "--data-dir=/some where/else", NULL};
    assert_int_equal(load(&config, NULL, given, &err), 0);
    unlink(file_path);
    assert_int_equal(config_flags(&config, flags, &count), 0);
    enum config_outcome outcome = CONFIG_HELP;
    char *argv[CONFIG_FLAGS_MAX + 1] = {(char *) (uintptr_t) "laminad"};
    memcpy(argv + 1, flags, count * sizeof(*flags));
    char *const *environment = environment_of("LAMINA_REGION=weaker", NULL);
    assert_int_equal(config_load(&again, (int) count + 1, argv, environment, &outcome, &err), 0);
    assert_string_equal(again.region, "from-file");
    assert_string_equal(again.data_dir, "/some where/else");
    assert_int_equal(again.aws_limits, AWS_LIMITS_OFF);
    assert_int_equal(again.concurrency, 3);
    assert_string_equal(again.user, config.user);
    for (size_t i = 0; i < count; i++)
        free(flags[i]);
    config_done(&config);
    config_done(&again);
}

static void help_and_version_are_outcomes(void **state)
{
    struct config config;
    struct error err = {0};
    enum config_outcome outcome = CONFIG_RUN;
    char *help[] = {(char *) (uintptr_t) "laminad", (char *) (uintptr_t) "--help"};
    char *version[] = {(char *) (uintptr_t) "laminad", (char *) (uintptr_t) "--version"};
    assert_int_equal(config_load(&config, 2, help, NULL, &outcome, &err), 0);
    assert_int_equal(outcome, CONFIG_HELP);
    config_done(&config);
    assert_int_equal(config_load(&config, 2, version, NULL, &outcome, &err), 0);
    assert_int_equal(outcome, CONFIG_VERSION);
    config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(the_stronger_source_wins),
        cmocka_unit_test(a_variable_set_to_nothing_is_not_set),
        cmocka_unit_test(bad_settings_are_refused_with_their_name),
        cmocka_unit_test(a_bad_file_is_refused_with_its_line),
        cmocka_unit_test(as_flags_the_settings_are_the_same),
        cmocka_unit_test(help_and_version_are_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
