/* The two functions of libgomp that runtime/gemm_dnnl.c calls, for a compiler other than gcc: gcc's
 * own <omp.h> is written for gcc alone, and clang's belongs to another runtime. */
#ifndef SN_CMAKE_GOMP_OMP_H
#define SN_CMAKE_GOMP_OMP_H

int omp_get_max_threads(void);
void omp_set_num_threads(int threads);

#endif
