/* SPDX-License-Identifier: Apache-2.0 */
#include "base/build_id.h"

#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char here; /* in the object that is asked about */

static size_t padded(size_t size, size_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

/* Notes are a head, a name and a description each, one behind the other. */
static bool find_note(char *text, const char *notes, size_t size, size_t alignment)
{
    ElfW(Nhdr) head;
    while (size >= sizeof head) {
        memcpy(&head, notes, sizeof head);
        const size_t name = sizeof head, id = padded(name + head.n_namesz, alignment);
        const size_t end = padded(id + head.n_descsz, alignment);
        if (id + head.n_descsz > size)
            return false;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == sizeof ELF_NOTE_GNU &&
            memcmp(notes + name, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0 && head.n_descsz > 0 &&
            head.n_descsz <= DF_BUILD_ID_MOST) {
            for (size_t i = 0; i < head.n_descsz; i++)
                (void)snprintf(text + 2 * i, 3, "%02x", (unsigned char)notes[id + i]);
            return true;
        }
        notes += end < size ? end : size;
        size -= end < size ? end : size;
    }
    return false;
}

static int look(struct dl_phdr_info *object, size_t size, void *text)
{
    bool own = false;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        own = own || (part->p_type == PT_LOAD &&
                      (ElfW(Addr)) & here - object->dlpi_addr - part->p_vaddr < part->p_memsz);
    }
    for (int i = 0; i < object->dlpi_phnum && own; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_NOTE && find_note(text, (const char *)(object->dlpi_addr + part->p_vaddr),
                                                 part->p_memsz, part->p_align == 8 ? 8 : 4))
            break;
    }
    return own;
}

void df_build_id(char text[DF_BUILD_ID_TEXT])
{
    (void)snprintf(text, DF_BUILD_ID_TEXT, "none");
    (void)dl_iterate_phdr(look, text);
}
