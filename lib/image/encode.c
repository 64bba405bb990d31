/* SPDX-License-Identifier: Apache-2.0 */
/* To be written. */
typedef int ims_unused_encode_c;
