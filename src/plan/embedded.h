/** Files that CMake embeds into the program (cmake/embed.cmake); here those of configs/. */
#ifndef SF_PLAN_EMBEDDED_H
#define SF_PLAN_EMBEDDED_H

/** One file: path below its root without extension ("recipes/paper" of configs/) and its text. */
typedef struct {
    const char *name, *text;
} sf_embedded_file;

/** Ends with a NULL name. */
extern const sf_embedded_file sf_embedded_configs[];

#endif
