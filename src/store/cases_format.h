/** Names inside the container of cases.h, shared by its writer and its reader. */
#ifndef SF_STORE_CASES_FORMAT_H
#define SF_STORE_CASES_FORMAT_H

#define SF_CASES_FORMAT "segfleet cases 1"

enum { SF_CASE_ID_MAX = 256, SF_CASE_MAX_ENTRIES = 4096, SF_CASE_MAX_CHANNELS = 65536 };

/* The array of a case; data lies first. */
typedef enum { SF_CASE_DATA, SF_CASE_SEG, SF_CASE_LOC, SF_CASE_ARRAYS } sf_case_array;
#define SF_CASE_ARRAY_NAMES                                                                        \
    {                                                                                              \
        "data", "seg", "locations"                                                                 \
    }

#endif
