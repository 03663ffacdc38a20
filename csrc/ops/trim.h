/* Which ops this build keeps. A full build keeps all. A firmware trimmed to one plan is compiled with
 * -DPE_TRIM_HEADER="\"file.h\"", and that file says `#define PE_TRIM_<op> 1` for each op to keep; --gc-sections then
 * drops the rest.
 *
 *     PE_IF_KEPT(add_s8, a, b)     expands to a if add_s8 is kept, else to b
 */
#ifndef PE_TRIM_H
#define PE_TRIM_H

#ifdef PE_TRIM_HEADER
#include PE_TRIM_HEADER
/* PE_TRIM_<op> is 1 or stays a name. Pasted to PE_TRIM_ARG_, only the 1 becomes an argument more, which moves a to the
 * second place. */
#define PE_TRIM_ARG_1 ~,
#define PE_TRIM_SECOND(x, second, ...) second
#define PE_TRIM_PICK(...) PE_TRIM_SECOND(__VA_ARGS__)
#define PE_TRIM_PASTE(flag, a, b) PE_TRIM_PICK(PE_TRIM_ARG_##flag a, b, ~)
#define PE_TRIM_EXPAND(flag, a, b) PE_TRIM_PASTE(flag, a, b)
#define PE_IF_KEPT(op, a, b) PE_TRIM_EXPAND(PE_TRIM_##op, a, b)
#else
#define PE_IF_KEPT(op, a, b) a
#endif
#endif
