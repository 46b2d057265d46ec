// SPDX-License-Identifier: MIT

#include "aws/chunked.h"

#include <errno.h>
#include <string.h>

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

//     HEAD ──size 0──► TRAILER ──empty line──► END
//      ▲ └──size > 0──► DATA ──► AFTER (the line's end behind the data)
//      └──────────────────────────┘
enum state { HEAD, DATA, AFTER, TRAILER, END };

bool chunked_form_by_name(struct str name, enum chunked_form *ret_form)
{
    static const struct {
        const char *name;
        enum chunked_form form;
    } forms[] = {
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", CHUNKED_UNSIGNED_TRAILER},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", CHUNKED_SIGNED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", CHUNKED_SIGNED_TRAILER},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (str_equal_text(name, forms[i].name)) {
            *ret_form = forms[i].form;
            return true;
        }
    }
    return false;
}

static bool is_signed(const struct chunked *chunked)
{
    return chunked->form != CHUNKED_UNSIGNED_TRAILER;
}

void chunked_init(struct chunked *chunked, enum chunked_form form,
                  const struct chunked_signer *signer,
                  int (*data)(void *arg, const void *data, size_t size), void *arg)
{
    memset(chunked, 0, sizeof(*chunked));
    chunked->form = form;
    chunked->state = HEAD;
    chunked->data = data;
    chunked->arg = arg;
    if (signer && is_signed(chunked)) {
        chunked->signer = *signer;
        digest_stream_init(&chunked->hash);
        chunked->has_hash = true;
    }
}

void chunked_done(struct chunked *chunked)
{
    if (chunked->has_hash)
        digest_stream_done(&chunked->hash);
    chunked->has_hash = false;
}

// ---- Signatures

static int chain(struct chunked *chunked, const char *algorithm, bool has_empty,
                 const struct digest *hash, const struct digest *claimed)
{
    char previous[DIGEST_HEX_SIZE], hex[DIGEST_HEX_SIZE];
    char text[512];
    struct chunked_signer *signer = &chunked->signer;
    int size = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s%s", algorithm, signer->time,
                        signer->scope, digest_hex(&signer->seed, previous),
                        has_empty ? EMPTY_HASH "\n" : "", digest_hex(hash, hex));
    if (size < 0 || (size_t) size >= sizeof(text))
        return -EINVAL;
    struct digest right =
        digest_hmac(signer->key.bytes.bytes, sizeof(signer->key.bytes.bytes), text, (size_t) size);
    if (!digest_equal(&right, claimed))
        return -EKEYREJECTED;
    signer->seed = right;
    return 0;
}

static int chunk_check(struct chunked *chunked)
{
    if (!is_signed(chunked))
        return 0;
    struct digest hash = digest_finish(&chunked->hash);
    return chain(chunked, "AWS4-HMAC-SHA256-PAYLOAD", true, &hash, &chunked->signature);
}

static int trailer_check(struct chunked *chunked)
{
    if (chunked->form != CHUNKED_SIGNED_TRAILER)
        return 0;
    if (!chunked->has_trailer_signature)
        return -EKEYREJECTED;
    struct digest hash = digest_of(chunked->trailers, chunked->trailers_size);
    return chain(chunked, "AWS4-HMAC-SHA256-TRAILER", false, &hash, &chunked->trailer_signature);
}

// ---- Lines

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int parse_size(struct str text, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (text.size == 0 || text.size > 16)
        return -EINVAL;
    for (size_t i = 0; i < text.size; i++) {
        int digit = hex_value(text.data[i]);
        if (digit < 0)
            return -EINVAL;
        size = size << 4 | (uint64_t) digit;
    }
    if (size > CHUNKED_CHUNK_MAX)
        return -EINVAL;
    *ret_size = size;
    return 0;
}

static int head_line(struct chunked *chunked, struct str line)
{
    struct str size, extension;
    bool has_extension = str_cut(line, ';', &size, &extension);
    struct str name = STR("chunk-signature=");
    int r = parse_size(size, &chunked->left);
    if (r < 0 || has_extension != is_signed(chunked))
        return -EINVAL;
    if (has_extension &&
        (!str_has_prefix(extension, name) ||
         digest_parse_hex(str_skip(extension, name.size), &chunked->signature) < 0))
        return -EINVAL;
    if (chunked->left > 0) {
        chunked->state = DATA;
        return 0;
    }
    chunked->state = TRAILER;
    return chunk_check(chunked);
}

static int trailer_line(struct chunked *chunked, struct str line)
{
    struct str name, value;
    if (line.size == 0) {
        chunked->state = END;
        return trailer_check(chunked);
    }
    if (chunked->form == CHUNKED_SIGNED || !str_cut(line, ':', &name, &value) || name.size == 0)
        return -EINVAL;
    value = str_trim(value);
    if (str_equal_nocase(name, STR("x-amz-trailer-signature"))) {
        if (chunked->has_trailer_signature || chunked->form != CHUNKED_SIGNED_TRAILER ||
            digest_parse_hex(value, &chunked->trailer_signature) < 0)
            return -EINVAL;
        chunked->has_trailer_signature = true;
        return 0;
    }
    // Nothing but the signature's own line comes behind it.
    if (chunked->has_trailer_signature || chunked->trailer_count == CHUNKED_TRAILERS_MAX)
        return -EINVAL;
    char *to = chunked->trailers + chunked->trailers_size;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        to[i] = c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
    }
    to += name.size;
    *to++ = ':';
    if (value.size)
        memcpy(to, value.data, value.size);
    to += value.size;
    *to++ = '\n';
    chunked->trailers_size = (size_t) (to - chunked->trailers);
    chunked->trailer_count++;
    return 0;
}

static int line_done(struct chunked *chunked)
{
    struct str line = {chunked->line, chunked->line_size};
    chunked->line_size = 0;
    switch (chunked->state) {
    case HEAD:
        return head_line(chunked, line);
    case AFTER:
        chunked->state = HEAD;
        return line.size == 0 ? 0 : -EINVAL;
    default:
        return trailer_line(chunked, line);
    }
}

// One byte of a line that ends with CR LF. A trailer's may end with LF alone: some clients send it
// so, and it cannot be read in another way.
static int line_byte(struct chunked *chunked, char byte)
{
    if (byte == '\n') {
        bool has_return = chunked->line_size > 0 && chunked->line[chunked->line_size - 1] == '\r';
        if (!has_return && chunked->state != TRAILER)
            return -EINVAL;
        chunked->line_size -= has_return;
        if (memchr(chunked->line, '\r', chunked->line_size) ||
            memchr(chunked->line, 0, chunked->line_size))
            return -EINVAL;
        return line_done(chunked);
    }
    if (chunked->line_size == CHUNKED_LINE_MAX)
        return -EINVAL;
    chunked->line[chunked->line_size++] = byte;
    return 0;
}

// ---- The body

int chunked_feed(struct chunked *chunked, const void *data, size_t size)
{
    const char *bytes = data;
    int r = 0;
    while (r >= 0 && size > 0) {
        size_t taken = 1;
        if (chunked->state == END)
            return -EINVAL;
        if (chunked->state == DATA) {
            taken = size < chunked->left ? size : (size_t) chunked->left;
            if (is_signed(chunked))
                digest_update(&chunked->hash, bytes, taken);
            r = chunked->data(chunked->arg, bytes, taken);
            chunked->left -= taken;
            if (r >= 0 && chunked->left == 0) {
                chunked->state = AFTER;
                r = chunk_check(chunked);
            }
        } else {
            r = line_byte(chunked, *bytes);
        }
        bytes += taken;
        size -= taken;
    }
    return r < 0 ? r : 0;
}

int chunked_finish(struct chunked *chunked)
{
    // The last line's end is often left away when no trailer follows.
    if (chunked->state == TRAILER && chunked->line_size == 0 && chunked->trailer_count == 0 &&
        chunked->form != CHUNKED_SIGNED_TRAILER)
        chunked->state = END;
    return chunked->state == END ? 0 : -EINVAL;
}

struct str chunked_trailer(const struct chunked *chunked, struct str name)
{
    struct str rest = {chunked->trailers, chunked->trailers_size};
    while (rest.size > 0) {
        struct str line, key, value;
        (void) str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &key, &value) && str_equal(key, name))
            return value;
    }
    return (struct str){0};
}
