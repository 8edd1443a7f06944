#include "masking.h"

/* How much may stand between two placeholders of a list. */
enum { LONGEST_GAP = 3 };

void azdlq_copy(azdlq_masking *m, size_t end)
{
    while (m->place < end) {
        m->out[m->length++] = (char)m->text.bytes[m->place++];
    }
}

/* Whether nothing but signs stands between the last placeholder and what ends at `end`; a
 * parenthesis must hold that alone. */
static bool continues_list(const azdlq_masking *m, size_t end)
{
    if (m->mask_end == 0 || m->length - m->mask_end > LONGEST_GAP) {
        return false;
    }
    for (size_t i = m->mask_end; i < m->length; i++) {
        if (!azdlq_is_any((unsigned char)m->out[i], " ,:;=-/>.")) {
            return m->out[i] == '(' && i + 1 == m->length && azdlq_at(&m->text, end) == ')';
        }
    }
    return true;
}

void azdlq_put(azdlq_masking *m, const char *placeholder, size_t end)
{
    m->place = end;
    if (continues_list(m, end)) {
        m->place += m->out[m->length - 1] == '(';
        m->length = m->mask_end;
        return;
    }
    size_t length = strlen(placeholder);
    memcpy(m->out + m->length, placeholder, length);
    m->length += length;
    m->mask_end = m->length;
}

bool azdlq_put_found(azdlq_masking *m, const char *placeholder, size_t found)
{
    if (found > 0) {
        azdlq_put(m, placeholder, m->place + found);
    }
    return found > 0;
}

