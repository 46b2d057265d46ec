// SPDX-License-Identifier: MIT
//
// The XML reader: what S3's clients send, every prefix of it, and what is refused.

#include "unit.h"

#include "aws/xml.h"

// The events as a text: "<name", ">name", text in brackets. "!": refused.
static void events(struct str text, struct buf *out)
{
    struct unit_guard guard = unit_guard_new(text.data, text.size);
    struct xml xml;
    struct xml_event event;
    int r;
    buf_clear(out);
    xml_init(&xml, str_of_data(guard.data, text.size));
    while ((r = xml_next(&xml, &event)) > 0) {
        if (event.kind == XML_TEXT)
            buf_printf(out, "[" STR_FORMAT "]", STR_ARGUMENTS(event.text));
        else
            buf_printf(out, "%c" STR_FORMAT, event.kind == XML_START ? '<' : '>',
                       STR_ARGUMENTS(event.name));
    }
    if (r < 0)
        buf_append_byte(out, '!');
    unit_guard_free(&guard);
}

static void test_documents(void **state)
{
    static const char *const rows[][2] = {
        {"<a/>", "<a>a"},
        {"<a></a>", "<a>a"},
        {" <a >x</a > \n", "<a[x]>a"},
        {"<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>", "<a>a"},
        {"\xef\xbb\xbf<?xml version='1.0'?>\n<a/>", "<a>a"},
        {"<a xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><b c='d>'/>t</a>", "<a<b>b[t]>a"},
        {"<s3:a xmlns:s3=\"x\"><s3:b/></s3:a>", "<a<b>b>a"},
        {"<a><!-- <b> --><![CDATA[<x>&]]></a>", "<a[<x>&]>a"},
        {"<a>1<b>2</b>3</a>", "<a[1]<b[2]>b[3]>a"},
    };
    struct buf out = BUF_INIT(4096);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        events(str_of(rows[i][0]), &out);
        assert_str_equal(buf_str(&out), rows[i][1]);
    }
    buf_done(&out);
}

static void test_what_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "text",
        "<",
        "<a",
        "<a>",
        "</a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><b/>",
        "<a/>text",
        "<a b/>",
        "<a b=c/>",
        "<a b=\"c/>",
        "<a b=\"<\"/>",
        "<a b=\"c\"d=\"e\"/>",
        "<1></1 x>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<a><?php x?></a>",
        "<a/><?xml version=\"1.0\"?>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>",
        "<a><![CDATA[x</a>",
        "<a><!-- x</a>",
    };
    struct buf out = BUF_INIT(4096);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        events(str_of(rows[i]), &out);
        assert_true(str_has_suffix(buf_str(&out), STR("!")));
    }
    buf_done(&out);
}

static void test_every_prefix_is_refused(void **state)
{
    struct str text =
        STR("<?xml version=\"1.0\"?><Delete a=\"b\"><Object><Key>a&amp;b</Key></Object>"
            "<!-- c --><Quiet>true</Quiet></Delete>");
    struct buf out = BUF_INIT(4096);
    for (size_t size = 0; size < text.size; size++) {
        events(str_part(text, 0, size), &out);
        assert_true(str_has_suffix(buf_str(&out), STR("!")));
    }
    buf_done(&out);
}

static void test_depth_has_a_limit(void **state)
{
    struct buf text = BUF_INIT(4096), out = BUF_INIT(4096);
    for (int i = 0; i <= XML_DEPTH_MAX; i++)
        buf_append_text(&text, "<a>");
    for (int i = 0; i <= XML_DEPTH_MAX; i++)
        buf_append_text(&text, "</a>");
    events(buf_str(&text), &out);
    assert_true(str_has_suffix(buf_str(&out), STR("!")));
    buf_done(&text);
    buf_done(&out);
}

static int content(const char *text, struct arena *arena, struct str *ret)
{
    struct xml xml;
    struct xml_event event;
    xml_init(&xml, str_of(text));
    assert_int_equal(xml_next(&xml, &event), 1);
    return xml_content(&xml, arena, ret);
}

static void test_content(void **state)
{
    static const char *const rows[][2] = {
        {"<a/>", ""},
        {"<a></a>", ""},
        {"<a> x </a>", " x "},
        {"<a>&amp;&lt;&gt;&quot;&apos;</a>", "&<>\"'"},
        {"<a>&#65;&#x41;&#xe9;&#x20AC;&#x1F600;</a>", "AA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"<a>a<![CDATA[&amp;]]>b<!-- c -->d</a>", "a&amp;bd"},
        {"<a>&#9;&#xA;&#1;</a>", "\t\n\x01"},
    };
    static const char *const bad[] = {
        "<a>&nbsp;</a>",
        "<a>&amp</a>",
        "<a>&;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#99999999;</a>",
        "<a>&#xg;</a>",
        "<a><b/></a>",
        "<a>x<b>y</b></a>",
        "<a>&averylongname;</a>",
    };
    AUTO_ARENA struct arena arena;
    struct str text;
    arena_init(&arena, 64 * 1024);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(content(rows[i][0], &arena, &text), 0);
        assert_str_equal(text, rows[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(content(bad[i], &arena, &text), -EINVAL);
}

static void test_skipping(void **state)
{
    struct xml xml;
    struct xml_event event;
    xml_init(&xml, STR("<a><b><b>x</b><c/></b><d/></a>"));
    assert_int_equal(xml_next(&xml, &event), 1);
    assert_int_equal(xml_next(&xml, &event), 1);
    assert_int_equal(xml_skip(&xml), 0);
    assert_int_equal(xml_next(&xml, &event), 1);
    assert_str_equal(event.name, "d");
    assert_int_equal(xml_skip(&xml), 0);
    assert_int_equal(xml_next(&xml, &event), 1);
    assert_int_equal(event.kind, XML_END);
    assert_int_equal(xml_next(&xml, &event), 0);
}

static void test_what_is_written_can_be_read(void **state)
{
    AUTO_ARENA struct arena arena;
    struct buf text = BUF_INIT(4096);
    char all[127];
    struct str read;
    arena_init(&arena, 64 * 1024);
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char) (i + 1);
    buf_append_text(&text, "<a>");
    xml_append(&text, str_of_data(all, sizeof(all)));
    buf_append_text(&text, "</a>");
    assert_int_equal(content(text.data, &arena, &read), 0);
    assert_int_equal(read.size, sizeof(all));
    assert_memory_equal(read.data, all, sizeof(all));
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_depth_has_a_limit),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_skipping),
        cmocka_unit_test(test_what_is_written_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
