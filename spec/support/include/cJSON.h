/* Opaque in specs: trees are made and read through format/json.h. */
typedef struct cJSON cJSON;
