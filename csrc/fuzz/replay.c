/* A fuzz target without a fuzzer: hands it each file that is named. */

#define _CRT_SECURE_NO_WARNINGS /* of MSVC, which would have no fopen */
#include "fuzz.h"

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    REQUIRE(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    REQUIRE(size >= 0);
    rewind(file);
    uint8_t *data = room((size_t)size, 1);
    REQUIRE(fread(data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
}

int main(int count, char **paths)
{
    REQUIRE(count > 1);
    for (int i = 1; i < count; i++) {
        replay(paths[i]);
    }
    return 0;
}
