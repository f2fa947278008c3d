/** The files of configs/ that CMake embeds into the program (cmake/embed.cmake). Private to
 * src/plan. */
#ifndef SF_PLAN_EMBEDDED_H
#define SF_PLAN_EMBEDDED_H

/** One file: path below configs/ without extension ("recipes/paper") and its text. */
typedef struct {
    const char *name, *text;
} sf_embedded_file;

/** Ends with a NULL name. */
extern const sf_embedded_file sf_embedded_configs[];

#endif
