/** @file io.h
 *  Files: NumPy's .npy and Hugging Face's .safetensors. Readers check every length and offset
 *  against the file's size; a malformed file gives an error that names it and the defect. */
#ifndef SINTER_IO_H
#define SINTER_IO_H

#include <sinter/tensor.h>

SN_BEGIN_DECLS

/** Reads a .npy file (versions 1–3; bool, u1, i1, i2, i4, i8, f2, f4, f8; C or Fortran order, either
 *  byte order). The tensor belongs to the scope. NULL on error. */
SN_API sn_tensor *sn_npy_load_at(const char *path, const char *source, int32_t line);
SN_API sn_tensor *sn_npy_load(const char *path);
#define sn_npy_load(path) sn_npy_load_at(path, __FILE__, __LINE__)
/** Writes a .npy file in C order; bf16 is refused. The file appears whole or not at all. */
SN_API bool sn_npy_save_at(const char *path, sn_tensor *tensor, const char *source, int32_t line);
SN_API bool sn_npy_save(const char *path, sn_tensor *tensor);
#define sn_npy_save(...) sn_npy_save_at(__VA_ARGS__, __FILE__, __LINE__)

/** An open .safetensors file. */
typedef struct sn_safetensors sn_safetensors;
/** Opens and checks the header: strict JSON of at most 100,000,000 bytes, as the reference implementation has
 *  it. The caller closes it. NULL and the thread's error on failure. */
SN_API sn_safetensors *sn_safetensors_open_at(const char *path, const char *source, int32_t line);
SN_API sn_safetensors *sn_safetensors_open(const char *path);
#define sn_safetensors_open(path) sn_safetensors_open_at(path, __FILE__, __LINE__)
/** Number of tensors; name of the i-th (valid until closed; NULL past the end). */
SN_API int32_t sn_safetensors_count_at(const sn_safetensors *file, const char *source,
                                       int32_t line);
SN_API int32_t sn_safetensors_count(const sn_safetensors *file);
#define sn_safetensors_count(file) sn_safetensors_count_at(file, __FILE__, __LINE__)
SN_API const char *sn_safetensors_name_at(const sn_safetensors *file, int32_t i, const char *source,
                                          int32_t line);
SN_API const char *sn_safetensors_name(const sn_safetensors *file, int32_t i);
#define sn_safetensors_name(...) sn_safetensors_name_at(__VA_ARGS__, __FILE__, __LINE__)
/** The tensor of that name, copied; it belongs to the scope. NULL and an error if there is none. */
SN_API sn_tensor *sn_safetensors_get_at(const sn_safetensors *file, const char *name,
                                        const char *source, int32_t line);
SN_API sn_tensor *sn_safetensors_get(const sn_safetensors *file, const char *name);
#define sn_safetensors_get(...) sn_safetensors_get_at(__VA_ARGS__, __FILE__, __LINE__)
/** NULL is ignored; a file that was closed already is an error (handle), here and above. */
SN_API void sn_safetensors_close_at(sn_safetensors *file, const char *source, int32_t line);
SN_API void sn_safetensors_close(sn_safetensors *file);
#define sn_safetensors_close(file) sn_safetensors_close_at(file, __FILE__, __LINE__)
/** Writes `count` named tensors. The file appears whole or not at all. */
SN_API bool sn_safetensors_save_at(const char *path, const char *const *names,
                                   sn_tensor *const *tensors, int32_t count, const char *source,
                                   int32_t line);
SN_API bool sn_safetensors_save(const char *path, const char *const *names,
                                sn_tensor *const *tensors, int32_t count);
#define sn_safetensors_save(...) sn_safetensors_save_at(__VA_ARGS__, __FILE__, __LINE__)

SN_END_DECLS

#endif
