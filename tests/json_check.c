/* json_check SCHEMA FILE - does a JSON document fit a JSON schema?  For tests of --json.
 *
 * Knows what our schemas use: type (one or a list), properties, required, additionalProperties:
 * false, items, enum, const, minimum, pattern as a prefix "^…", $ref to "#/$defs/NAME".  Anything else in a
 * schema is an error, so that no rule is silently not looked at. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static json_t *top;
static int failed;

static void wrong(const char *at, const char *what)
{
	printf("# %s: %s\n", at, what);
	failed++;
}

static bool is_type(const json_t *v, const char *type)
{
	return !strcmp(type, "object") ? json_is_object(v) : !strcmp(type, "array") ? json_is_array(v) :
	       !strcmp(type, "string") ? json_is_string(v) : !strcmp(type, "integer") ? json_is_integer(v) :
	       !strcmp(type, "number") ? json_is_number(v) : !strcmp(type, "boolean") ? json_is_boolean(v) :
	       !strcmp(type, "null") ? json_is_null(v) : false;
}

static void check_type(const json_t *s, const json_t *v, const char *at)
{
	bool good = json_is_string(s) && is_type(v, json_string_value(s));
	json_t *one;
	size_t i;

	json_array_foreach(s, i, one)
		good |= is_type(v, json_string_value(one));
	if (!good)
		wrong(at, "of another type");
}

static void check(json_t *s, json_t *v, const char *at);

static void check_object(json_t *s, json_t *v, const char *at)
{
	json_t *props = json_object_get(s, "properties"), *x;
	const char *key;
	char name[512];
	size_t i;

	json_array_foreach(json_object_get(s, "required"), i, x)
		if (!json_object_get(v, json_string_value(x))) {
			snprintf(name, sizeof(name), "%s.%s", at, json_string_value(x));
			wrong(name, "missing");
		}
	json_object_foreach(v, key, x) {
		json_t *rule = json_object_get(props, key);

		snprintf(name, sizeof(name), "%s.%s", at, key);
		if (rule)
			check(rule, x, name);
		else if (json_is_false(json_object_get(s, "additionalProperties")))
			wrong(name, "not in the schema");
	}
}

static void check(json_t *s, json_t *v, const char *at)
{
	const char *key;
	char name[512];
	json_t *rule, *x;
	bool found;
	size_t i;

	json_object_foreach(s, key, rule) {
		if (!strcmp(key, "$ref")) {
			const char *def = strrchr(json_string_value(rule), '/');

			x = json_object_get(json_object_get(top, "$defs"), def ? def + 1 : "");
			if (x)
				check(x, v, at);
			else
				wrong(at, "the schema refers to nothing");
		} else if (!strcmp(key, "type")) {
			check_type(rule, v, at);
		} else if (!strcmp(key, "enum")) {
			found = false;
			json_array_foreach(rule, i, x)
				found |= json_equal(x, v);
			if (!found)
				wrong(at, "not one of the words allowed");
		} else if (!strcmp(key, "const")) {
			if (!json_equal(rule, v))
				wrong(at, "not the one value allowed");
		} else if (!strcmp(key, "minimum")) {
			if (json_is_number(v) && json_number_value(v) < json_number_value(rule))
				wrong(at, "too small");
		} else if (!strcmp(key, "pattern")) {
			const char *p = json_string_value(rule);

			if (json_is_string(v) && strncmp(json_string_value(v), p + 1, strlen(p + 1)))
				wrong(at, "begins otherwise");
		} else if (!strcmp(key, "items")) {
			json_array_foreach(v, i, x) {
				snprintf(name, sizeof(name), "%s[%zu]", at, i);
				check(rule, x, name);
			}
		} else if (!strcmp(key, "properties")) {
			if (json_is_object(v))
				check_object(s, v, at);
		} else if (strcmp(key, "required") && strcmp(key, "additionalProperties") && strcmp(key, "$defs") &&
			   strcmp(key, "$schema") && strcmp(key, "title") && strcmp(key, "description")) {
			wrong(at, "the schema has a rule that json_check does not know");
		}
	}
}

int main(int argc, char **argv)
{
	json_error_t e;
	json_t *v;

	if (argc != 3) {
		fprintf(stderr, "usage: json_check SCHEMA FILE\n");
		return 2;
	}
	top = json_load_file(argv[1], 0, &e);
	v = top ? json_load_file(argv[2], 0, &e) : NULL;
	if (!v) {
		printf("# %s line %d: %s\n", e.source, e.line, e.text);
		return 2;
	}
	check(top, v, "$");
	json_decref(v);
	json_decref(top);
	return failed != 0;
}
