#include "base/mem.h"
#include "plan/planning.h"
#include <string.h>

const char *sf_explain_source(sf_rule r) { return r == SF_RULE_PAPER ? "paper" : "nnU-Net v2"; }

void sf_explain_add(json_t *list, const char *decision, const char *configuration, const char *rule,
                    const char *source, json_t *inputs, json_t *result)
{
    if (!list) {
        json_decref(inputs);
        json_decref(result);
        return;
    }
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "decision", decision,
                                          "configuration", configuration, "rule", rule, "source",
                                          source, "inputs", inputs ? inputs : json_object(),
                                          "result", result ? result : json_null()));
}

/** Append printf-free: text grows by a piece. */
static sf_status append(char **text, const char *piece)
{
    const size_t have = *text ? strlen(*text) : 0, more = strlen(piece);
    SF_TRY(sf_mem_resize(text, have + more + 1, 1, SF_MEM_MISC));
    memcpy(*text + have, piece, more + 1);
    return SF_OK;
}

static sf_status append_value(char **text, const json_t *v)
{
    char *dump = NULL;
    if (json_is_string(v)) return append(text, json_string_value(v));
    SF_TRY(sf_json_dump(&dump, v, 0, false));
    const sf_status st = append(text, dump);
    sf_mem_free(dump);
    return st;
}

static sf_status append_inputs(char **text, const json_t *inputs)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)inputs, key, v)
    {
        SF_TRY(append(text, "    "));
        SF_TRY(append(text, key));
        SF_TRY(append(text, ": "));
        SF_TRY(append_value(text, v));
        SF_TRY(append(text, "\n"));
    }
    return SF_OK;
}

static sf_status append_entry(char **text, const json_t *e)
{
    const char *name = json_string_value(json_object_get(e, "configuration"));
    if (name && name[0]) {
        SF_TRY(append(text, name));
        SF_TRY(append(text, ": "));
    }
    SF_TRY(append_value(text, json_object_get(e, "decision")));
    SF_TRY(append(text, " = "));
    SF_TRY(append_value(text, json_object_get(e, "result")));
    SF_TRY(append(text, "\n  rule ("));
    SF_TRY(append_value(text, json_object_get(e, "source")));
    SF_TRY(append(text, "): "));
    SF_TRY(append_value(text, json_object_get(e, "rule")));
    SF_TRY(append(text, "\n"));
    return append_inputs(text, json_object_get(e, "inputs"));
}

sf_status sf_planner_explain_text(char **out, const json_t *explain)
{
    char *text = NULL;
    sf_status st = append(&text, "");
    for (size_t i = 0; st == SF_OK && i < json_array_size(explain); i++)
        st = append_entry(&text, json_array_get(explain, i));
    if (st != SF_OK) {
        sf_mem_free(text);
        return sf_trace_(st, __FILE__, __LINE__, "append_entry");
    }
    *out = text;
    return SF_OK;
}
