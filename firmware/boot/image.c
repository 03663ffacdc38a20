#include "image.h"

#include "mem.h"
#include "sha256.h"
#include "signature.h"

enum { MAGIC_BYTES = 4, PROTECTED = 0x6908, UNPROTECTED = 0x6907, TLV_HEAD = 4, SPKI_BYTES = 12 + IMAGE_KEY };
#define MAGIC 0x96f3b83du
enum { FLAG_PIC = 0x1, FLAG_ROM_FIXED = 0x100 };
enum {
    TLV_KEYHASH = 0x01,
    TLV_PUBKEY = 0x02,
    TLV_SHA256 = 0x10,
    TLV_ED25519 = 0x24,
    TLV_DEPENDENCY = 0x40,
    TLV_COUNTER = 0x50
};

typedef struct tlvs {
    const uint8_t *keyhash, *pubkey, *sha256, *signature, *counter;
    bool depends;
} tlvs;

static uint32_t u16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | u16(p + 2) << 16;
}

/* Takes the TLV down. False: of a length that it cannot have, twice there, or unknown where every one counts. */
static bool take_tlv(tlvs *t, bool protected, uint32_t type, const uint8_t *value, uint32_t n)
{
    const uint8_t **place;
    uint32_t bytes;
    if (protected && type == TLV_COUNTER) {
        place = &t->counter, bytes = 4;
    } else if (protected) {
        t->depends |= type == TLV_DEPENDENCY;
        return true; /* the hash holds it; vendors put what they like there */
    } else {
        switch (type) {
        case TLV_KEYHASH: place = &t->keyhash, bytes = IMAGE_HASH; break;
        case TLV_PUBKEY: place = &t->pubkey, bytes = SPKI_BYTES; break;
        case TLV_SHA256: place = &t->sha256, bytes = IMAGE_HASH; break;
        case TLV_ED25519: place = &t->signature, bytes = SIGNATURE_BYTES; break;
        default: return false;
        }
    }
    if (*place || n != bytes)
        return false;
    *place = value;
    return true;
}

/* One area of TLVs at data. Its length, or 0: it is none, or does not end within room. */
static uint32_t read_tlvs(tlvs *t, bool protected, const uint8_t *data, uint32_t room)
{
    if (room < TLV_HEAD || u16(data) != (protected ? PROTECTED : UNPROTECTED))
        return 0;
    uint32_t end = u16(data + 2), at = TLV_HEAD;
    if (end > room)
        return 0;
    while (at < end) {
        if (end - at < TLV_HEAD || u16(data + at + 2) > end - at - TLV_HEAD)
            return 0;
        uint32_t n = u16(data + at + 2);
        if (!take_tlv(t, protected, u16(data + at), data + at + TLV_HEAD, n))
            return 0;
        at += TLV_HEAD + n;
    }
    return at == end ? end : 0;
}

/* Whether the TLV that names the key, by a hash or as it is, names this one (RFC 8410: SubjectPublicKeyInfo). */
static bool names_key(const tlvs *t, const uint8_t *key)
{
    uint8_t spki[SPKI_BYTES] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00},
            hash[IMAGE_HASH];
    memcpy(spki + SPKI_BYTES - IMAGE_KEY, key, IMAGE_KEY);
    sha256(spki, sizeof spki, hash);
    return (!t->keyhash || !memcmp(t->keyhash, hash, sizeof hash)) &&
           (!t->pubkey || !memcmp(t->pubkey, spki, sizeof spki));
}

bool image_begins(const uint8_t *data, uint32_t n)
{
    return n >= MAGIC_BYTES && u32(data) == MAGIC;
}

image_fault image_check(image *i, const uint8_t *data, uint32_t room, const uint8_t *key, uint32_t floor)
{
    if (room < IMAGE_HEADER || !image_begins(data, room))
        return IMAGE_NONE;
    const uint32_t header = u16(data + 8), protected = u16(data + 10), size = u32(data + 12), flags = u32(data + 16);
    *i = (image){.payload = header,
                 .address = flags & FLAG_ROM_FIXED ? u32(data + 4) : 0,
                 .major = data[20],
                 .minor = data[21],
                 .revision = (uint16_t)u16(data + 22),
                 .build = u32(data + 24)};
    if (header < IMAGE_HEADER || header > room || size > room - header || protected > room - header - size)
        return IMAGE_DAMAGED;
    tlvs t = {0};
    uint32_t end = header + size;
    if (protected && read_tlvs(&t, true, data + end, room - end) != protected)
        return IMAGE_DAMAGED;
    end += protected;
    const uint32_t unprotected = read_tlvs(&t, false, data + end, room - end);
    if (!unprotected || !t.sha256)
        return IMAGE_DAMAGED;
    uint8_t hash[IMAGE_HASH];
    sha256(data, end, hash);
    if (memcmp(hash, t.sha256, sizeof hash) != 0)
        return IMAGE_DAMAGED;
    i->hash = t.sha256;
    i->bytes = end + unprotected;
    i->counter = t.counter ? u32(t.counter) : 0;
    if ((flags & ~(uint32_t)(FLAG_PIC | FLAG_ROM_FIXED)) || t.depends)
        return IMAGE_KIND;
    if (key && !t.signature)
        return IMAGE_UNSIGNED;
    if (key && (!names_key(&t, key) || !signature_good(t.signature, key, hash)))
        return IMAGE_SIGNATURE;
    return i->counter < floor ? IMAGE_ROLLBACK : IMAGE_GOOD;
}

const char *image_fault_text(image_fault fault)
{
    switch (fault) {
    case IMAGE_GOOD: return "";
    case IMAGE_NONE: return "no firmware image";
    case IMAGE_DAMAGED: return "the firmware image is damaged";
    case IMAGE_KIND: return "not an image to execute in place";
    case IMAGE_UNSIGNED: return "the firmware image is not signed";
    case IMAGE_SIGNATURE: return "the signature is of another key, or damaged";
    case IMAGE_ROLLBACK: return "the security counter is older than the board's";
    case IMAGE_ADDRESS: return "the firmware image is linked for the other slot";
    }
    return "";
}
