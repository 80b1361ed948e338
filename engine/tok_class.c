#include "config.h"

#include "engine/tok_class.h"

#include <pthread.h>
#include <utf8proc.h>

static uint8_t table[0x110000];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint8_t class_of(int32_t c)
{
	switch (utf8proc_category(c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LT:
		return CLASS_L | CLASS_UP;
	case UTF8PROC_CATEGORY_LL:
		return CLASS_L | CLASS_LOW;
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
		return CLASS_L | CLASS_UP | CLASS_LOW;
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME:
		return CLASS_UP | CLASS_LOW;
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return CLASS_N;
	case UTF8PROC_CATEGORY_ZS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return CLASS_S;
	default:
		return 0;
	}
}

static void fill(void)
{
	/* Planes 4 to 13, 15 and 16 hold nothing but unassigned and private code points. */
	for (int32_t c = 0; c < 0x40000; c++)
		table[c] = class_of(c);
	for (int32_t c = 0xe0000; c < 0xf0000; c++)
		table[c] = class_of(c);
	for (int32_t c = '\t'; c <= '\r'; c++)
		table[c] = CLASS_S;
	table['\n'] |= CLASS_NL;
	table['\r'] |= CLASS_NL;
	table[0x85] = CLASS_S;
}

const uint8_t *tok_class_get(void)
{
	pthread_once(&once, fill);
	return table;
}
