// SPDX-License-Identifier: MIT
//
// threads: how many threads one inference may use.
//
// As many as the function's share of processors: Lambda and Lamina give one for each 1,769 MB of
// memory. More threads than that would only wait for each other, throttled.

#ifndef LAMINA_MODEL_RUNTIME_THREADS_H
#define LAMINA_MODEL_RUNTIME_THREADS_H

// From $LAMINA_THREADS (1 to 64) when set, else $AWS_LAMBDA_FUNCTION_MEMORY_SIZE in MB; never more
// than the processors that this process may run on; at least 1.
int threads_for(const char *threads_text, const char *memory_mb_text, int processors);
int threads_available(void); // processors that this process may run on

#endif
