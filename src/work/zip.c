// SPDX-License-Identifier: MIT

#include "work/zip.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    END_SIZE = 22,
    END64_LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    RECORD_SIZE = 46,
    HEADER_SIZE = 30,
    DESCRIPTOR_MAX = 24,
    COMMENT_MAX = 65535,
};

enum {
    FLAG_ENCRYPTED = 1 << 0,
    FLAG_DESCRIPTOR = 1 << 3,
    FLAG_PATCH = 1 << 5,
    FLAG_STRONG_ENCRYPTION = 1 << 6,
    FLAG_UTF8 = 1 << 11,
    FLAG_MASKED = 1 << 13,
    // The others are hints of the packer (speed), in which headers and directories do differ.
    FLAGS_THAT_MATTER = FLAG_ENCRYPTED | FLAG_DESCRIPTOR | FLAG_PATCH | FLAG_STRONG_ENCRYPTION |
                        FLAG_UTF8 | FLAG_MASKED,
};

enum { HOST_DOS = 0, HOST_UNIX = 3, HOST_DARWIN = 19 };
enum { METHOD_STORED = 0, METHOD_DEFLATE = 8, METHOD_AES = 99 };

#define MTIME_DEFAULT INT64_C(315532800) // 1980-01-01, the first moment that a zip can name

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t) (at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t) get16(at) | (uint32_t) get16(at + 2) << 16;
}

static uint64_t get64(const uint8_t *at)
{
    return (uint64_t) get32(at) | (uint64_t) get32(at + 4) << 32;
}

int zip_source_read(const struct zip_source *source, uint64_t offset, void *data, size_t size)
{
    if (offset > source->size || size > source->size - offset)
        return -ENODATA;
    if (source->memory) {
        memcpy(data, source->memory + offset, size);
        return 0;
    }
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(source->fd, (char *) data + done, size - done, (off_t) (offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENODATA;
        done += (size_t) n;
    }
    return 0;
}

int zip_refuse_whole(struct zip_refusal *refusal, enum work_reason reason, uint64_t number)
{
    refusal->reason = reason;
    refusal->number = number;
    refusal->path_size = 0;
    return -EBADMSG;
}

int zip_refuse(struct zip_refusal *refusal, enum work_reason reason, const struct zip_entry *entry,
               uint64_t number)
{
    zip_refuse_whole(refusal, reason, number);
    const char *name = entry->path ? entry->path : entry->raw_name;
    size_t size = entry->path ? entry->path_size : entry->raw_name_size;
    refusal->path_size = (uint32_t) (size < WORK_PATH_MAX ? size : WORK_PATH_MAX);
    if (size)
        memcpy(refusal->path, name, refusal->path_size);
    return -EBADMSG;
}

// A read that meets the end of the file is the package's fault, not ours.
static int read_or_refuse(const struct zip_source *source, uint64_t offset, void *data, size_t size,
                          struct zip_refusal *refusal)
{
    int r = zip_source_read(source, offset, data, size);
    return r == -ENODATA ? zip_refuse_whole(refusal, WORK_REASON_TRUNCATED, offset) : r;
}

// ---- The end records: where the directory is

struct zip_end {
    uint64_t position; // of the first end record: the directory must end here
    uint64_t directory_offset;
    uint64_t directory_size;
    uint64_t entry_count;
};

// The end record is the last one in the file whose comment reaches exactly to the file's end.
static int end_find(const struct zip_source *source, uint8_t *tail, size_t tail_size,
                    size_t *ret_position, struct zip_refusal *refusal)
{
    for (size_t i = tail_size < END_SIZE ? 0 : tail_size - END_SIZE + 1; i-- > 0;) {
        if (memcmp(tail + i, "PK\5\6", 4) == 0 &&
            get16(tail + i + 20) == tail_size - i - END_SIZE) {
            *ret_position = i;
            return 0;
        }
    }
    uint8_t start[4] = {0};
    bool is_zip = source->size >= 4 && zip_source_read(source, 0, start, 4) == 0 &&
                  (memcmp(start, "PK\3\4", 4) == 0 || memcmp(start, "PK\5\6", 4) == 0);
    return zip_refuse_whole(refusal, is_zip ? WORK_REASON_TRUNCATED : WORK_REASON_NOT_ZIP,
                            source->size);
}

static int end64_read(const struct zip_source *source, struct zip_end *end,
                      struct zip_refusal *refusal)
{
    uint8_t locator[END64_LOCATOR_SIZE], record[END64_SIZE];
    if (end->position < END64_LOCATOR_SIZE + END64_SIZE)
        return 1;
    uint64_t at = end->position - END64_LOCATOR_SIZE;
    int r = read_or_refuse(source, at, locator, sizeof(locator), refusal);
    if (r < 0)
        return r;
    if (memcmp(locator, "PK\6\7", 4) != 0)
        return 1;
    if (get32(locator + 4) != 0 || get32(locator + 16) > 1)
        return zip_refuse_whole(refusal, WORK_REASON_MULTI_VOLUME, 0);
    uint64_t start = get64(locator + 8);
    r = read_or_refuse(source, start, record, sizeof(record), refusal);
    if (r < 0)
        return r;
    uint64_t size = get64(record + 4);
    if (memcmp(record, "PK\6\6", 4) != 0 || start > at - 12 || size != at - start - 12)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, start);
    if (get32(record + 16) != 0 || get32(record + 20) != 0)
        return zip_refuse_whole(refusal, WORK_REASON_MULTI_VOLUME, 0);
    if (get64(record + 24) != get64(record + 32))
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, start);
    *end = (struct zip_end){start, get64(record + 48), get64(record + 40), get64(record + 32)};
    return 0;
}

static int end_parse(const struct zip_source *source, const uint8_t *record, struct zip_end *end,
                     struct zip_refusal *refusal)
{
    uint16_t disk = get16(record + 4), directory_disk = get16(record + 6);
    uint16_t entries_here = get16(record + 8), entries = get16(record + 10);
    end->directory_size = get32(record + 12);
    end->directory_offset = get32(record + 16);
    end->entry_count = entries;
    bool may_be_64 = entries == UINT16_MAX || end->directory_size == UINT32_MAX ||
                     end->directory_offset == UINT32_MAX || disk == UINT16_MAX;
    if (may_be_64) {
        int r = end64_read(source, end, refusal);
        if (r <= 0)
            return r;
    }
    if (disk != 0 || directory_disk != 0)
        return zip_refuse_whole(refusal, WORK_REASON_MULTI_VOLUME, disk);
    if (entries_here != entries)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, end->position);
    return 0;
}

static int end_read(const struct zip_source *source, struct zip_end *end,
                    struct zip_refusal *refusal)
{
    size_t tail_size = END_SIZE + COMMENT_MAX;
    if (tail_size > source->size)
        tail_size = (size_t) source->size;
    AUTO_FREE uint8_t *tail = malloc(tail_size + 1);
    if (!tail)
        return -ENOMEM;
    int r = read_or_refuse(source, source->size - tail_size, tail, tail_size, refusal);
    if (r < 0)
        return r;
    size_t position = 0;
    r = end_find(source, tail, tail_size, &position, refusal);
    if (r < 0)
        return r;
    end->position = source->size - tail_size + position;
    r = end_parse(source, tail + position, end, refusal);
    if (r < 0)
        return r;
    // The directory lies right before the end record. One that starts elsewhere is cut or glued.
    if (end->directory_offset > end->position ||
        end->directory_size != end->position - end->directory_offset)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, end->directory_offset);
    return 0;
}

// ---- The directory's records

// Walks the extra fields: calls for the zip64 sizes and the Unix time.
struct zip_extra {
    const uint8_t *zip64;
    size_t zip64_size;
    bool has_mtime;
    int64_t mtime;
};

static bool extra_parse(const uint8_t *extra, size_t size, struct zip_extra *ret_extra)
{
    *ret_extra = (struct zip_extra){0};
    for (size_t i = 0; i + 4 <= size;) {
        uint16_t kind = get16(extra + i);
        size_t length = get16(extra + i + 2);
        const uint8_t *data = extra + i + 4;
        if (length > size - i - 4)
            return false;
        if (kind == 0x0001 && !ret_extra->zip64) {
            ret_extra->zip64 = data;
            ret_extra->zip64_size = length;
        } else if (kind == 0x5455 && length >= 5 && (data[0] & 1)) {
            ret_extra->has_mtime = true;
            ret_extra->mtime = (int32_t) get32(data + 1);
        }
        i += 4 + length;
    }
    return true; // up to three stray bytes at the end are seen in the wild (zipalign)
}

// The next 8 bytes of the zip64 field, for a 32-bit number that says "look there".
static bool zip64_take(struct zip_extra *extra, uint64_t *number)
{
    if (*number != UINT32_MAX)
        return true;
    if (!extra->zip64 || extra->zip64_size < 8)
        return false;
    *number = get64(extra->zip64);
    extra->zip64 += 8;
    extra->zip64_size -= 8;
    return true;
}

static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    // Howard Hinnant's algorithm: years begin in March, so that the leap day is the last.
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

// DOS times have no zone: read as UTC, which is what our own packer writes.
static int64_t dos_time(uint16_t time, uint16_t date)
{
    int64_t year = 1980 + (date >> 9), month = date >> 5 & 15, day = date & 31;
    int64_t hour = time >> 11, minute = time >> 5 & 63, second = (time & 31) * 2;
    if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
        return MTIME_DEFAULT;
    return days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

static bool type_of_mode(unsigned mode, bool is_directory_name, uint8_t *ret_type)
{
    bool is_directory = is_directory_name || S_ISDIR(mode);
    *ret_type = is_directory ? ZIP_DIRECTORY : S_ISLNK(mode) ? ZIP_LINK : ZIP_FILE;
    if ((mode & S_IFMT) == 0 || S_ISREG(mode) || S_ISDIR(mode))
        return true;
    return S_ISLNK(mode) && !is_directory;
}

// Setuid, setgid, owner and everything but "may anybody execute it" end here.
static int entry_take_mode(struct zip_entry *entry, uint8_t host, uint32_t attributes,
                           bool is_directory_name, struct zip_refusal *refusal)
{
    unsigned mode = host == HOST_UNIX || host == HOST_DARWIN ? attributes >> 16 : 0;
    if (!type_of_mode(mode, is_directory_name, &entry->type))
        return zip_refuse(refusal, WORK_REASON_FILE_TYPE, entry, entry->position);
    entry->is_executable = entry->type == ZIP_FILE && (mode & 0111);
    return 0;
}

static int entry_check_method(const struct zip_entry *entry, struct zip_refusal *refusal)
{
    if ((entry->flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED)) ||
        entry->method == METHOD_AES)
        return zip_refuse(refusal, WORK_REASON_ENCRYPTED, entry, entry->position);
    if ((entry->method != METHOD_STORED && entry->method != METHOD_DEFLATE) ||
        (entry->flags & FLAG_PATCH))
        return zip_refuse(refusal, WORK_REASON_METHOD, entry, entry->method);
    return 0;
}

// Sizes that cannot be true are refused before anything is unpacked: a stored entry is as long as
// its bytes, and deflate yields at most 1,032 bytes for one.
static int entry_check_size(const struct zip_entry *entry, struct zip_refusal *refusal)
{
    bool is_possible = entry->method == METHOD_STORED
                           ? entry->size == entry->compressed_size
                           : entry->size / 1032 <= entry->compressed_size;
    if (entry->type == ZIP_DIRECTORY)
        is_possible = entry->size == 0;
    if (entry->type == ZIP_LINK && entry->size > WORK_LINK_MAX)
        return zip_refuse(refusal, WORK_REASON_LINK_OUT, entry, entry->size);
    return is_possible ? 0 : zip_refuse(refusal, WORK_REASON_SIZE, entry, entry->size);
}

// One record. Returns its size.
static int64_t record_parse(const uint8_t *record, uint64_t available, struct zip_entry *entry,
                            struct zip_refusal *refusal)
{
    if (available < RECORD_SIZE || memcmp(record, "PK\1\2", 4) != 0)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, entry->position);
    size_t name_size = get16(record + 28), extra_size = get16(record + 30);
    size_t whole = RECORD_SIZE + name_size + extra_size + get16(record + 32);
    if (whole > available)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, entry->position);
    uint8_t host = record[5];
    entry->flags = get16(record + 8);
    entry->method = get16(record + 10);
    entry->checksum = get32(record + 16);
    entry->compressed_size = get32(record + 20);
    entry->size = get32(record + 24);
    entry->header_offset = get32(record + 42);
    entry->raw_name = (const char *) record + RECORD_SIZE;
    entry->raw_name_size = (uint16_t) name_size;
    struct zip_extra extra;
    if (!extra_parse(record + RECORD_SIZE + name_size, extra_size, &extra) ||
        !zip64_take(&extra, &entry->size) || !zip64_take(&extra, &entry->compressed_size) ||
        !zip64_take(&extra, &entry->header_offset))
        return zip_refuse(refusal, WORK_REASON_DAMAGED, entry, entry->position);
    uint16_t disk = get16(record + 34);
    if (disk != 0 && disk != UINT16_MAX)
        return zip_refuse_whole(refusal, WORK_REASON_MULTI_VOLUME, disk);
    entry->mtime = extra.has_mtime ? extra.mtime : dos_time(get16(record + 12), get16(record + 14));

    bool is_directory_name;
    enum work_reason reason = WORK_REASON_DAMAGED;
    int r = zip_name_clean(entry->raw_name, name_size, entry->flags & FLAG_UTF8, host == HOST_DOS,
                           &entry->path, &entry->path_size, &is_directory_name, &reason);
    if (r == -EBADMSG)
        return zip_refuse(refusal, reason, entry, entry->position);
    if (r == 0)
        r = entry_take_mode(entry, host, get32(record + 38), is_directory_name, refusal);
    if (r == 0)
        r = entry_check_method(entry, refusal);
    if (r == 0)
        r = entry_check_size(entry, refusal);
    if (r == 0 && entry->path_size == 0 && entry->type != ZIP_DIRECTORY)
        r = zip_refuse(refusal, WORK_REASON_NAME_EMPTY, entry, entry->position);
    return r < 0 ? r : (int64_t) whole;
}

static int directory_parse(struct zip *zip, const struct zip_end *end, uint64_t bytes_max,
                           struct zip_refusal *refusal)
{
    uint64_t used = 0;
    for (uint64_t i = 0; i < end->entry_count; i++) {
        struct zip_entry *entry = &zip->entries[i];
        entry->position = (uint32_t) i;
        zip->entry_count = i + 1;
        int64_t r = record_parse(zip->directory + used, end->directory_size - used, entry, refusal);
        if (r < 0)
            return (int) r;
        used += (uint64_t) r;
        if (entry->size > UINT64_MAX - zip->total_bytes)
            return zip_refuse(refusal, WORK_REASON_SIZE, entry, entry->size);
        if (entry->type == ZIP_FILE)
            zip->total_bytes += entry->size;
    }
    if (used != end->directory_size)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, end->directory_offset + used);
    if (bytes_max && zip->total_bytes > bytes_max)
        return zip_refuse_whole(refusal, WORK_REASON_TOO_LARGE, zip->total_bytes);
    return 0;
}

// ---- Header against record

static bool number_agrees(uint64_t in_header, uint64_t in_record, bool has_descriptor)
{
    return in_header == in_record || (has_descriptor && in_header == 0);
}

// The descriptor has four legal forms (with or without signature, 32 or 64 bits). Returns the size
// of the one that agrees with the record, 0 if none does.
static size_t descriptor_size(const uint8_t *at, size_t available, const struct zip_entry *entry)
{
    for (size_t form = 0; form < 4; form++) {
        size_t signature = form & 1 ? 0 : 4, width = form & 2 ? 8 : 4;
        size_t size = signature + 4 + 2 * width;
        const uint8_t *numbers = at + signature + 4;
        if (size > available || (signature && memcmp(at, "PK\7\10", 4) != 0))
            continue;
        uint64_t compressed = width == 8 ? get64(numbers) : get32(numbers);
        uint64_t plain = width == 8 ? get64(numbers + 8) : get32(numbers + 4);
        if (get32(at + signature) == entry->checksum && compressed == entry->compressed_size &&
            plain == entry->size)
            return size;
    }
    return 0;
}

static int descriptor_check(struct zip *zip, struct zip_entry *entry, uint64_t directory_offset,
                            struct zip_refusal *refusal)
{
    uint8_t descriptor[DESCRIPTOR_MAX];
    uint64_t left = directory_offset - entry->end;
    size_t available = left < sizeof(descriptor) ? (size_t) left : sizeof(descriptor);
    int r = read_or_refuse(&zip->source, entry->end, descriptor, available, refusal);
    if (r < 0)
        return r;
    size_t size = descriptor_size(descriptor, available, entry);
    if (size == 0)
        return zip_refuse(refusal, WORK_REASON_HEADERS_DIFFER, entry, entry->end);
    entry->end += size;
    return 0;
}

static bool header_agrees(const uint8_t *header, const uint8_t *variable,
                          const struct zip_entry *entry)
{
    bool has_descriptor = entry->flags & FLAG_DESCRIPTOR;
    struct zip_extra extra;
    uint64_t compressed = get32(header + 18), size = get32(header + 22);
    if ((get16(header + 6) ^ entry->flags) & FLAGS_THAT_MATTER ||
        get16(header + 8) != entry->method || get16(header + 26) != entry->raw_name_size ||
        memcmp(variable, entry->raw_name, entry->raw_name_size) != 0)
        return false;
    if (!extra_parse(variable + entry->raw_name_size, get16(header + 28), &extra) ||
        !zip64_take(&extra, &size) || !zip64_take(&extra, &compressed))
        return false;
    return number_agrees(get32(header + 14), entry->checksum, has_descriptor) &&
           number_agrees(size, entry->size, has_descriptor) &&
           number_agrees(compressed, entry->compressed_size, has_descriptor);
}

static int header_check(struct zip *zip, struct zip_entry *entry, uint64_t directory_offset,
                        struct zip_refusal *refusal)
{
    uint8_t header[HEADER_SIZE];
    uint8_t variable[2 * UINT16_MAX];
    if (entry->header_offset > directory_offset ||
        directory_offset - entry->header_offset < HEADER_SIZE)
        return zip_refuse(refusal, WORK_REASON_HEADERS_DIFFER, entry, entry->header_offset);
    int r = read_or_refuse(&zip->source, entry->header_offset, header, sizeof(header), refusal);
    if (r < 0)
        return r;
    size_t variable_size = (size_t) get16(header + 26) + get16(header + 28);
    entry->content_offset = entry->header_offset + HEADER_SIZE + variable_size;
    if (memcmp(header, "PK\3\4", 4) != 0 || entry->content_offset > directory_offset)
        return zip_refuse(refusal, WORK_REASON_HEADERS_DIFFER, entry, entry->header_offset);
    r = read_or_refuse(&zip->source, entry->header_offset + HEADER_SIZE, variable, variable_size,
                       refusal);
    if (r < 0)
        return r;
    if (!header_agrees(header, variable, entry))
        return zip_refuse(refusal, WORK_REASON_HEADERS_DIFFER, entry, entry->header_offset);
    if (entry->compressed_size > directory_offset - entry->content_offset)
        return zip_refuse(refusal, WORK_REASON_OVERLAP, entry, entry->header_offset);
    entry->end = entry->content_offset + entry->compressed_size;
    return entry->flags & FLAG_DESCRIPTOR ? descriptor_check(zip, entry, directory_offset, refusal)
                                          : 0;
}

// Heap sort. libc's qsort asks the system how much memory it has, which the filter of confine.c does
// not allow; and no input makes this one slow.
static void swap(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

static void sift_down(char *base, size_t root, size_t count, size_t size,
                      int (*compare)(const void *left, const void *right))
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (compare(base + root * size, base + child * size) >= 0)
            return;
        swap(base + root * size, base + child * size, size);
    }
}

static void sort(void *data, size_t count, size_t size,
                 int (*compare)(const void *left, const void *right))
{
    char *base = data;
    for (size_t i = count / 2; i-- > 0;)
        sift_down(base, i, count, size, compare);
    for (size_t end = count; end-- > 1;) {
        swap(base, base + end * size, size);
        sift_down(base, 0, end, size, compare);
    }
}

// Ties are decided by the position, so that the same bytes always get the same answer.
static int compare_offsets(const void *left, const void *right)
{
    const struct zip_entry *a = left, *b = right;
    if (a->header_offset != b->header_offset)
        return a->header_offset < b->header_offset ? -1 : 1;
    return a->position < b->position ? -1 : a->position > b->position;
}

static int headers_check(struct zip *zip, uint64_t directory_offset, struct zip_refusal *refusal)
{
    sort(zip->entries, zip->entry_count, sizeof(zip->entries[0]), compare_offsets);
    uint64_t free_from = 0;
    for (size_t i = 0; i < zip->entry_count; i++) {
        struct zip_entry *entry = &zip->entries[i];
        if (entry->header_offset < free_from)
            return zip_refuse(refusal, WORK_REASON_OVERLAP, entry, entry->header_offset);
        int r = header_check(zip, entry, directory_offset, refusal);
        if (r < 0)
            return r;
        free_from = entry->end;
    }
    return 0;
}

// ---- Names against each other

// As memcmp, with '/' before every other byte: what is beneath a name follows directly behind it.
static int compare_names(const struct zip_entry *a, const struct zip_entry *b)
{
    size_t size = a->path_size < b->path_size ? a->path_size : b->path_size;
    for (size_t i = 0; i < size; i++) {
        int x = a->path[i] == '/' ? 0 : (unsigned char) a->path[i];
        int y = b->path[i] == '/' ? 0 : (unsigned char) b->path[i];
        if (x != y)
            return x - y;
    }
    return a->path_size < b->path_size ? -1 : a->path_size > b->path_size;
}

static int compare_paths(const void *left, const void *right)
{
    const struct zip_entry *a = *(const struct zip_entry *const *) left;
    const struct zip_entry *b = *(const struct zip_entry *const *) right;
    int order = compare_names(a, b);
    return order ? order : a->position < b->position ? -1 : a->position > b->position;
}

static bool is_beneath(const struct zip_entry *entry, const struct zip_entry *above)
{
    return entry->path_size > above->path_size && entry->path[above->path_size] == '/' &&
           memcmp(entry->path, above->path, above->path_size) == 0;
}

static int paths_check(struct zip *zip, struct zip_refusal *refusal)
{
    AUTO_FREE struct zip_entry **sorted = calloc(zip->entry_count + 1, sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < zip->entry_count; i++)
        sorted[i] = &zip->entries[i];
    sort(sorted, zip->entry_count, sizeof(*sorted), compare_paths);
    for (size_t i = 1; i < zip->entry_count; i++) {
        const struct zip_entry *before = sorted[i - 1], *entry = sorted[i];
        bool is_same = compare_names(before, entry) == 0;
        if (is_same && before->type != ZIP_DIRECTORY && entry->type != ZIP_DIRECTORY)
            return zip_refuse(refusal, WORK_REASON_DUPLICATE, entry, entry->position);
        if ((is_same && before->type != entry->type) ||
            (before->type != ZIP_DIRECTORY && is_beneath(entry, before)))
            return zip_refuse(refusal, WORK_REASON_CONFLICT, entry, entry->position);
    }
    return 0;
}

// ---- Open

static int zip_read_all(struct zip *zip, const struct zip_limits *limits,
                        struct zip_refusal *refusal)
{
    struct zip_end end;
    int r = end_read(&zip->source, &end, refusal);
    if (r < 0)
        return r;
    if (end.entry_count > limits->entries_max)
        return zip_refuse_whole(refusal, WORK_REASON_TOO_MANY, end.entry_count);
    if (end.directory_size > ZIP_DIRECTORY_MAX)
        return zip_refuse_whole(refusal, WORK_REASON_TOO_MANY, end.entry_count);
    if (end.directory_size / RECORD_SIZE < end.entry_count)
        return zip_refuse_whole(refusal, WORK_REASON_DAMAGED, end.directory_offset);
    zip->directory = malloc((size_t) end.directory_size + 1);
    zip->entries = calloc((size_t) end.entry_count + 1, sizeof(zip->entries[0]));
    if (!zip->directory || !zip->entries)
        return -ENOMEM;
    r = read_or_refuse(&zip->source, end.directory_offset, zip->directory,
                       (size_t) end.directory_size, refusal);
    if (r == 0)
        r = directory_parse(zip, &end, limits->bytes_max, refusal);
    if (r == 0)
        r = headers_check(zip, end.directory_offset, refusal);
    return r < 0 ? r : paths_check(zip, refusal);
}

int zip_open(struct zip *zip, const struct zip_source *source, const struct zip_limits *limits,
             struct zip_refusal *ret_refusal)
{
    *zip = (struct zip){.source = *source};
    int r = zip_read_all(zip, limits, ret_refusal);
    if (r < 0)
        zip_done(zip);
    return r;
}

void zip_done(struct zip *zip)
{
    for (size_t i = 0; i < zip->entry_count; i++)
        free(zip->entries[i].path);
    free(zip->entries);
    free(zip->directory);
    *zip = (struct zip){.source = {.fd = -1}};
}
