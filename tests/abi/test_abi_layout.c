/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets and sizes of all public structs as recorded with 0.1, on 64-bit machines: they never change, structs only grow. */
#include <imgsim/imgsim.h>

#include "check.h"

#define OFFSET(type, field, offset) CHECK_EQUAL(offsetof(type, field), offset)

int main(void)
{
    if (sizeof(void *) != 8)
        check_skip("the record is of 64-bit machines");
    OFFSET(imgsim_progress, struct_size, 0);
    OFFSET(imgsim_progress, phase, 8);
    OFFSET(imgsim_progress, done, 16);
    OFFSET(imgsim_progress, total, 24);
    OFFSET(imgsim_progress, failed, 32);
    OFFSET(imgsim_progress, bytes, 40);
    OFFSET(imgsim_progress, elapsed_seconds, 48);
    OFFSET(imgsim_progress, rate, 56);
    OFFSET(imgsim_progress, remaining_seconds, 64);
    OFFSET(imgsim_progress, total_bytes, 72);
    OFFSET(imgsim_progress, byte_rate, 80);
    CHECK_EQUAL(sizeof(imgsim_progress), 88);

    OFFSET(imgsim_catalog_options, struct_size, 0);
    OFFSET(imgsim_catalog_options, create, 8);
    OFFSET(imgsim_catalog_options, read_only, 12);
    CHECK_EQUAL(sizeof(imgsim_catalog_options), 16);

    OFFSET(imgsim_file_info, struct_size, 0);
    OFFSET(imgsim_file_info, id, 8);
    OFFSET(imgsim_file_info, uuid, 16);
    OFFSET(imgsim_file_info, path, 24);
    OFFSET(imgsim_file_info, directory, 32);
    OFFSET(imgsim_file_info, name, 40);
    OFFSET(imgsim_file_info, format, 48);
    OFFSET(imgsim_file_info, reason, 56);
    OFFSET(imgsim_file_info, content_hash, 64);
    OFFSET(imgsim_file_info, state, 72);
    OFFSET(imgsim_file_info, width, 76);
    OFFSET(imgsim_file_info, height, 80);
    OFFSET(imgsim_file_info, reserved, 84);
    OFFSET(imgsim_file_info, bytes, 88);
    OFFSET(imgsim_file_info, mtime_ns, 96);
    CHECK_EQUAL(sizeof(imgsim_file_info), 104);

    OFFSET(imgsim_feature_info, struct_size, 0);
    OFFSET(imgsim_feature_info, name, 8);
    OFFSET(imgsim_feature_info, spec, 16);
    OFFSET(imgsim_feature_info, fingerprint, 24);
    OFFSET(imgsim_feature_info, source, 32);
    OFFSET(imgsim_feature_info, dimension, 40);
    OFFSET(imgsim_feature_info, row_type, 44);
    OFFSET(imgsim_feature_info, metric, 48);
    OFFSET(imgsim_feature_info, reserved, 52);
    OFFSET(imgsim_feature_info, image_count, 56);
    CHECK_EQUAL(sizeof(imgsim_feature_info), 64);

    OFFSET(imgsim_feature_definition, struct_size, 0);
    OFFSET(imgsim_feature_definition, name, 8);
    OFFSET(imgsim_feature_definition, spec, 16);
    OFFSET(imgsim_feature_definition, fingerprint, 24);
    OFFSET(imgsim_feature_definition, source, 32);
    OFFSET(imgsim_feature_definition, dimension, 40);
    OFFSET(imgsim_feature_definition, row_type, 44);
    OFFSET(imgsim_feature_definition, metric, 48);
    OFFSET(imgsim_feature_definition, reserved, 52);
    CHECK_EQUAL(sizeof(imgsim_feature_definition), 56);

    OFFSET(imgsim_projection_options, struct_size, 0);
    OFFSET(imgsim_projection_options, source, 8);
    OFFSET(imgsim_projection_options, name, 16);
    OFFSET(imgsim_projection_options, projector, 24);
    OFFSET(imgsim_projection_options, progress, 32);
    OFFSET(imgsim_projection_options, user_data, 40);
    OFFSET(imgsim_projection_options, dimension, 48);
    OFFSET(imgsim_projection_options, reserved, 52);
    CHECK_EQUAL(sizeof(imgsim_projection_options), 56);

    OFFSET(imgsim_study_options, struct_size, 0);
    OFFSET(imgsim_study_options, source, 8);
    OFFSET(imgsim_study_options, progress, 16);
    OFFSET(imgsim_study_options, user_data, 24);
    OFFSET(imgsim_study_options, queries, 32);
    OFFSET(imgsim_study_options, neighbours, 36);
    OFFSET(imgsim_study_options, precision_at, 40);
    OFFSET(imgsim_study_options, classes, 44);
    OFFSET(imgsim_study_options, threads, 48);
    OFFSET(imgsim_study_options, reserved, 52);
    OFFSET(imgsim_study_options, seed, 56);
    CHECK_EQUAL(sizeof(imgsim_study_options), 64);

    OFFSET(imgsim_color_options, struct_size, 0);
    OFFSET(imgsim_color_options, space, 8);
    OFFSET(imgsim_color_options, bins, 12);
    CHECK_EQUAL(sizeof(imgsim_color_options), 24);

    OFFSET(imgsim_hash_options, struct_size, 0);
    OFFSET(imgsim_hash_options, kind, 8);
    OFFSET(imgsim_hash_options, bits, 12);
    CHECK_EQUAL(sizeof(imgsim_hash_options), 16);

    OFFSET(imgsim_cnn_options, struct_size, 0);
    OFFSET(imgsim_cnn_options, model_path, 8);
    OFFSET(imgsim_cnn_options, architecture, 16);
    OFFSET(imgsim_cnn_options, sha256, 24);
    OFFSET(imgsim_cnn_options, precision, 32);
    OFFSET(imgsim_cnn_options, preprocess, 36);
    OFFSET(imgsim_cnn_options, trust_model, 40);
    OFFSET(imgsim_cnn_options, threads, 44);
    OFFSET(imgsim_cnn_options, batch_size, 48);
    OFFSET(imgsim_cnn_options, input_size, 52);
    OFFSET(imgsim_cnn_options, classes, 56);
    OFFSET(imgsim_cnn_options, reserved, 60);
    CHECK_EQUAL(sizeof(imgsim_cnn_options), 64);

    OFFSET(imgsim_host_extractor, struct_size, 0);
    OFFSET(imgsim_host_extractor, name, 8);
    OFFSET(imgsim_host_extractor, version, 16);
    OFFSET(imgsim_host_extractor, dimension, 24);
    OFFSET(imgsim_host_extractor, row_type, 28);
    OFFSET(imgsim_host_extractor, default_metric, 32);
    OFFSET(imgsim_host_extractor, concurrent, 36);
    OFFSET(imgsim_host_extractor, extract, 40);
    OFFSET(imgsim_host_extractor, release, 48);
    CHECK_EQUAL(sizeof(imgsim_host_extractor), 56);

    OFFSET(imgsim_image_options, struct_size, 0);
    OFFSET(imgsim_image_options, min_side, 8);
    OFFSET(imgsim_image_options, reserved, 12);
    OFFSET(imgsim_image_options, max_pixels, 16);
    OFFSET(imgsim_image_options, max_bytes, 24);
    OFFSET(imgsim_image_options, max_frames, 32);
    CHECK_EQUAL(sizeof(imgsim_image_options), 40);

    OFFSET(imgsim_index_options, struct_size, 0);
    OFFSET(imgsim_index_options, kind, 8);
    OFFSET(imgsim_index_options, metric, 12);
    OFFSET(imgsim_index_options, dimension, 16);
    OFFSET(imgsim_index_options, threads, 20);
    OFFSET(imgsim_index_options, mahalanobis, 24);
    OFFSET(imgsim_index_options, callback, 32);
    OFFSET(imgsim_index_options, user_data, 40);
    OFFSET(imgsim_index_options, callback_row_type, 48);
    OFFSET(imgsim_index_options, max_links, 52);
    OFFSET(imgsim_index_options, build_width, 56);
    OFFSET(imgsim_index_options, search_width, 60);
    OFFSET(imgsim_index_options, seed, 64);
    OFFSET(imgsim_index_options, progress, 72);
    OFFSET(imgsim_index_options, progress_data, 80);
    OFFSET(imgsim_index_options, normalize, 88);
    OFFSET(imgsim_index_options, reserved, 92);
    OFFSET(imgsim_index_options, max_bytes, 96);
    CHECK_EQUAL(sizeof(imgsim_index_options), 104);

    OFFSET(imgsim_pairs_options, struct_size, 0);
    OFFSET(imgsim_pairs_options, max_distance, 8);
    OFFSET(imgsim_pairs_options, threads, 12);
    OFFSET(imgsim_pairs_options, progress, 16);
    OFFSET(imgsim_pairs_options, progress_data, 24);
    CHECK_EQUAL(sizeof(imgsim_pairs_options), 32);

    OFFSET(imgsim_search_options, struct_size, 0);
    OFFSET(imgsim_search_options, search_width, 8);
    OFFSET(imgsim_search_options, exact, 12);
    OFFSET(imgsim_search_options, filter, 16);
    OFFSET(imgsim_search_options, filter_bits, 24);
    OFFSET(imgsim_search_options, max_distance, 32);
    OFFSET(imgsim_search_options, threads, 36);
    OFFSET(imgsim_search_options, stats, 40);
    CHECK_EQUAL(sizeof(imgsim_search_options), 48);

    OFFSET(imgsim_search_stats, struct_size, 0);
    OFFSET(imgsim_search_stats, certified, 8);
    OFFSET(imgsim_search_stats, plane_count, 12);
    OFFSET(imgsim_search_stats, queries, 16);
    OFFSET(imgsim_search_stats, plane_rows, 24);
    OFFSET(imgsim_search_stats, rows_read, 88);
    OFFSET(imgsim_search_stats, rows_decided, 96);
    CHECK_EQUAL(sizeof(imgsim_search_stats), 104);

    OFFSET(imgsim_projector_options, struct_size, 0);
    OFFSET(imgsim_projector_options, whiten, 8);
    OFFSET(imgsim_projector_options, normalize, 16);
    OFFSET(imgsim_projector_options, threads, 20);
    OFFSET(imgsim_projector_options, method, 24);
    OFFSET(imgsim_projector_options, kernel, 28);
    OFFSET(imgsim_projector_options, tolerance, 32);
    OFFSET(imgsim_projector_options, seed, 40);
    OFFSET(imgsim_projector_options, gamma, 48);
    OFFSET(imgsim_projector_options, offset, 56);
    OFFSET(imgsim_projector_options, degree, 64);
    OFFSET(imgsim_projector_options, landmarks, 68);
    OFFSET(imgsim_projector_options, even_landmarks, 72);
    OFFSET(imgsim_projector_options, reserved, 76);
    CHECK_EQUAL(sizeof(imgsim_projector_options), 80);

    OFFSET(imgsim_pca_report, struct_size, 0);
    OFFSET(imgsim_pca_report, method, 8);
    OFFSET(imgsim_pca_report, passes, 12);
    OFFSET(imgsim_pca_report, variance_error, 16);
    OFFSET(imgsim_pca_report, residual, 24);
    OFFSET(imgsim_pca_report, angle, 32);
    OFFSET(imgsim_pca_report, missed_variance, 40);
    OFFSET(imgsim_pca_report, failure, 48);
    OFFSET(imgsim_pca_report, gamma, 56);
    CHECK_EQUAL(sizeof(imgsim_pca_report), 64);

    OFFSET(imgsim_query_options, struct_size, 0);
    OFFSET(imgsim_query_options, k, 8);
    OFFSET(imgsim_query_options, images, 12);
    OFFSET(imgsim_query_options, fusion, 16);
    OFFSET(imgsim_query_options, search, 20);
    OFFSET(imgsim_query_options, candidates, 24);
    OFFSET(imgsim_query_options, search_width, 28);
    OFFSET(imgsim_query_options, rrf_k, 32);
    OFFSET(imgsim_query_options, failover_score, 40);
    OFFSET(imgsim_query_options, failover_spread, 48);
    OFFSET(imgsim_query_options, min_score, 56);
    OFFSET(imgsim_query_options, exclude_queries, 64);
    OFFSET(imgsim_query_options, threads, 68);
    OFFSET(imgsim_query_options, fuse, 72);
    OFFSET(imgsim_query_options, fuse_data, 80);
    CHECK_EQUAL(sizeof(imgsim_query_options), 88);

    OFFSET(imgsim_channel_options, struct_size, 0);
    OFFSET(imgsim_channel_options, weight, 8);
    OFFSET(imgsim_channel_options, metric, 16);
    OFFSET(imgsim_channel_options, reserved, 20);
    OFFSET(imgsim_channel_options, callback, 24);
    OFFSET(imgsim_channel_options, user_data, 32);
    OFFSET(imgsim_channel_options, mahalanobis, 40);
    CHECK_EQUAL(sizeof(imgsim_channel_options), 48);

    OFFSET(imgsim_hit, struct_size, 0);
    OFFSET(imgsim_hit, id, 8);
    OFFSET(imgsim_hit, uuid, 16);
    OFFSET(imgsim_hit, path, 24);
    OFFSET(imgsim_hit, score, 32);
    OFFSET(imgsim_hit, width, 40);
    OFFSET(imgsim_hit, height, 44);
    CHECK_EQUAL(sizeof(imgsim_hit), 48);

    OFFSET(imgsim_map_options, struct_size, 0);
    OFFSET(imgsim_map_options, seed, 8);
    OFFSET(imgsim_map_options, layout, 16);
    OFFSET(imgsim_map_options, dimension, 20);
    OFFSET(imgsim_map_options, metric, 24);
    OFFSET(imgsim_map_options, threads, 28);
    OFFSET(imgsim_map_options, neighbours, 32);
    OFFSET(imgsim_map_options, epochs, 36);
    OFFSET(imgsim_map_options, min_dist, 40);
    OFFSET(imgsim_map_options, spread, 48);
    OFFSET(imgsim_map_options, negatives, 56);
    OFFSET(imgsim_map_options, start, 60);
    OFFSET(imgsim_map_options, perplexity, 64);
    OFFSET(imgsim_map_options, early_exaggeration, 72);
    OFFSET(imgsim_map_options, late_exaggeration, 80);
    OFFSET(imgsim_map_options, learning_rate, 88);
    OFFSET(imgsim_map_options, start_positions, 96);
    OFFSET(imgsim_map_options, progress, 104);
    OFFSET(imgsim_map_options, progress_data, 112);
    OFFSET(imgsim_map_options, exact_neighbours, 120);
    OFFSET(imgsim_map_options, refresh, 124);
    OFFSET(imgsim_map_options, place, 128);
    OFFSET(imgsim_map_options, reserved, 132);
    CHECK_EQUAL(sizeof(imgsim_map_options), 136);

    OFFSET(imgsim_page_options, struct_size, 0);
    OFFSET(imgsim_page_options, title, 8);
    OFFSET(imgsim_page_options, tiles_folder, 16);
    OFFSET(imgsim_page_options, picture_count, 24);
    OFFSET(imgsim_page_options, picture_side, 28);
    OFFSET(imgsim_page_options, neighbours, 32);
    OFFSET(imgsim_page_options, sprite_count, 36);
    OFFSET(imgsim_page_options, threads, 40);
    OFFSET(imgsim_page_options, reserved, 44);
    OFFSET(imgsim_page_options, progress, 48);
    OFFSET(imgsim_page_options, progress_data, 56);
    CHECK_EQUAL(sizeof(imgsim_page_options), 64);
    OFFSET(imgsim_quality_options, struct_size, 0);
    OFFSET(imgsim_quality_options, seed, 8);
    OFFSET(imgsim_quality_options, anchors, 16);
    OFFSET(imgsim_quality_options, metric, 24);
    OFFSET(imgsim_quality_options, neighbours, 28);
    OFFSET(imgsim_quality_options, threads, 32);
    OFFSET(imgsim_quality_options, reserved, 36);
    OFFSET(imgsim_quality_options, progress, 40);
    OFFSET(imgsim_quality_options, progress_data, 48);
    CHECK_EQUAL(sizeof(imgsim_quality_options), 56);

    OFFSET(imgsim_quality, struct_size, 0);
    OFFSET(imgsim_quality, trustworthiness, 8);
    OFFSET(imgsim_quality, continuity, 16);
    OFFSET(imgsim_quality, preservation, 24);
    OFFSET(imgsim_quality, anchors, 32);
    OFFSET(imgsim_quality, neighbours, 40);
    OFFSET(imgsim_quality, reserved, 44);
    CHECK_EQUAL(sizeof(imgsim_quality), 48);

    OFFSET(imgsim_plot_options, struct_size, 0);
    OFFSET(imgsim_plot_options, color_by, 8);
    OFFSET(imgsim_plot_options, width, 12);
    OFFSET(imgsim_plot_options, height, 16);
    OFFSET(imgsim_plot_options, reserved, 20);
    OFFSET(imgsim_plot_options, title, 24);
    OFFSET(imgsim_plot_options, groups, 32);
    OFFSET(imgsim_plot_options, group_names, 40);
    OFFSET(imgsim_plot_options, group_count, 48);
    OFFSET(imgsim_plot_options, cluster, 56);
    CHECK_EQUAL(sizeof(imgsim_plot_options), 64);

    OFFSET(imgsim_part, struct_size, 0);
    OFFSET(imgsim_part, feature, 8);
    OFFSET(imgsim_part, value, 16);
    OFFSET(imgsim_part, similarity, 24);
    OFFSET(imgsim_part, weight, 32);
    OFFSET(imgsim_part, metric, 40);
    OFFSET(imgsim_part, rank, 44);
    CHECK_EQUAL(sizeof(imgsim_part), 48);

    OFFSET(imgsim_scan_options, struct_size, 0);
    OFFSET(imgsim_scan_options, extractors, 8);
    OFFSET(imgsim_scan_options, extractor_count, 16);
    OFFSET(imgsim_scan_options, image_options, 24);
    OFFSET(imgsim_scan_options, progress, 32);
    OFFSET(imgsim_scan_options, user_data, 40);
    OFFSET(imgsim_scan_options, threads, 48);
    OFFSET(imgsim_scan_options, transaction_size, 52);
    OFFSET(imgsim_scan_options, min_side, 56);
    OFFSET(imgsim_scan_options, include_hidden, 60);
    OFFSET(imgsim_scan_options, follow_links, 64);
    OFFSET(imgsim_scan_options, recheck, 68);
    OFFSET(imgsim_scan_options, include, 72);
    OFFSET(imgsim_scan_options, include_count, 80);
    OFFSET(imgsim_scan_options, exclude, 88);
    OFFSET(imgsim_scan_options, exclude_count, 96);
    OFFSET(imgsim_scan_options, min_bytes, 104);
    OFFSET(imgsim_scan_options, one_file_system, 112);
    OFFSET(imgsim_scan_options, thumb_side, 116);
    OFFSET(imgsim_scan_options, isolation, 120);
    OFFSET(imgsim_scan_options, file_timeout_ms, 124);
    OFFSET(imgsim_scan_options, worker_memory, 128);
    CHECK_EQUAL(sizeof(imgsim_scan_options), 136);

    OFFSET(imgsim_duplicates_options, struct_size, 0);
    OFFSET(imgsim_duplicates_options, feature, 8);
    OFFSET(imgsim_duplicates_options, near, 16);
    OFFSET(imgsim_duplicates_options, max_distance, 20);
    OFFSET(imgsim_duplicates_options, threads, 24);
    OFFSET(imgsim_duplicates_options, reserved, 28);
    OFFSET(imgsim_duplicates_options, progress, 32);
    OFFSET(imgsim_duplicates_options, progress_data, 40);
    CHECK_EQUAL(sizeof(imgsim_duplicates_options), 48);

    OFFSET(imgsim_check_options, struct_size, 0);
    OFFSET(imgsim_check_options, files, 8);
    OFFSET(imgsim_check_options, reserved, 12);
    OFFSET(imgsim_check_options, callback, 16);
    OFFSET(imgsim_check_options, user_data, 24);
    OFFSET(imgsim_check_options, progress, 32);
    OFFSET(imgsim_check_options, progress_data, 40);
    CHECK_EQUAL(sizeof(imgsim_check_options), 48);

    OFFSET(imgsim_check_report, struct_size, 0);
    OFFSET(imgsim_check_report, problems, 8);
    OFFSET(imgsim_check_report, rows, 16);
    OFFSET(imgsim_check_report, rows_unknown, 24);
    OFFSET(imgsim_check_report, rows_damaged, 32);
    OFFSET(imgsim_check_report, files, 40);
    OFFSET(imgsim_check_report, files_gone, 48);
    OFFSET(imgsim_check_report, files_changed, 56);
    OFFSET(imgsim_check_report, files_damaged, 64);
    OFFSET(imgsim_check_report, files_unreadable, 72);
    CHECK_EQUAL(sizeof(imgsim_check_report), 80);

    OFFSET(imgsim_repair_options, struct_size, 0);
    OFFSET(imgsim_repair_options, callback, 8);
    OFFSET(imgsim_repair_options, user_data, 16);
    CHECK_EQUAL(sizeof(imgsim_repair_options), 24);

    OFFSET(imgsim_repair_report, struct_size, 0);
    OFFSET(imgsim_repair_report, changes, 8);
    OFFSET(imgsim_repair_report, files_lost, 16);
    OFFSET(imgsim_repair_report, rows_dropped, 24);
    OFFSET(imgsim_repair_report, features_dropped, 32);
    OFFSET(imgsim_repair_report, derived_dropped, 40);
    OFFSET(imgsim_repair_report, leftovers, 48);
    OFFSET(imgsim_repair_report, rebuilt, 56);
    CHECK_EQUAL(sizeof(imgsim_repair_report), 64);

    OFFSET(imgsim_scan_report, struct_size, 0);
    OFFSET(imgsim_scan_report, seen, 8);
    OFFSET(imgsim_scan_report, unchanged, 16);
    OFFSET(imgsim_scan_report, added, 24);
    OFFSET(imgsim_scan_report, refreshed, 32);
    OFFSET(imgsim_scan_report, moved, 40);
    OFFSET(imgsim_scan_report, skipped, 48);
    OFFSET(imgsim_scan_report, failed, 56);
    OFFSET(imgsim_scan_report, missing, 64);
    OFFSET(imgsim_scan_report, bytes, 72);
    OFFSET(imgsim_scan_report, seconds, 80);
    OFFSET(imgsim_scan_report, crashed, 88);
    OFFSET(imgsim_scan_report, timed_out, 96);
    CHECK_EQUAL(sizeof(imgsim_scan_report), 104);

    OFFSET(imgsim_cluster_options, struct_size, 0);
    OFFSET(imgsim_cluster_options, method, 8);
    OFFSET(imgsim_cluster_options, metric, 12);
    OFFSET(imgsim_cluster_options, seed, 16);
    OFFSET(imgsim_cluster_options, threads, 24);
    OFFSET(imgsim_cluster_options, k, 28);
    OFFSET(imgsim_cluster_options, max_iterations, 32);
    OFFSET(imgsim_cluster_options, runs, 36);
    OFFSET(imgsim_cluster_options, tolerance, 40);
    OFFSET(imgsim_cluster_options, initial_means, 48);
    OFFSET(imgsim_cluster_options, eps, 56);
    OFFSET(imgsim_cluster_options, min_samples, 64);
    OFFSET(imgsim_cluster_options, min_cluster_size, 68);
    OFFSET(imgsim_cluster_options, selection_epsilon, 72);
    OFFSET(imgsim_cluster_options, selection, 80);
    OFFSET(imgsim_cluster_options, allow_single, 84);
    OFFSET(imgsim_cluster_options, linkage, 88);
    OFFSET(imgsim_cluster_options, micro_clusters, 92);
    OFFSET(imgsim_cluster_options, cut_height, 96);
    OFFSET(imgsim_cluster_options, memory_limit, 104);
    OFFSET(imgsim_cluster_options, progress, 112);
    OFFSET(imgsim_cluster_options, user_data, 120);
    CHECK_EQUAL(sizeof(imgsim_cluster_options), 128);
    OFFSET(imgsim_scan_report, crashed, 88);
    OFFSET(imgsim_scan_report, timed_out, 96);
    CHECK_EQUAL(sizeof(imgsim_scan_report), 104);

    OFFSET(imgsim_cluster_info, struct_size, 0);
    OFFSET(imgsim_cluster_info, label, 8);
    OFFSET(imgsim_cluster_info, name, 16);
    OFFSET(imgsim_cluster_info, share, 24);
    OFFSET(imgsim_cluster_info, medoid, 32);
    OFFSET(imgsim_cluster_info, size, 40);
    OFFSET(imgsim_cluster_info, number, 48);
    OFFSET(imgsim_cluster_info, reserved, 52);
    CHECK_EQUAL(sizeof(imgsim_cluster_info), 56);

    OFFSET(imgsim_cluster_report, struct_size, 0);
    OFFSET(imgsim_cluster_report, image_count, 8);
    OFFSET(imgsim_cluster_report, cluster_count, 16);
    OFFSET(imgsim_cluster_report, noise_count, 24);
    OFFSET(imgsim_cluster_report, labelled_count, 32);
    OFFSET(imgsim_cluster_report, ari, 40);
    OFFSET(imgsim_cluster_report, nmi, 48);
    OFFSET(imgsim_cluster_report, silhouette, 56);
    CHECK_EQUAL(sizeof(imgsim_cluster_report), 64);

    OFFSET(imgsim_cluster_labels_options, struct_size, 0);
    OFFSET(imgsim_cluster_labels_options, feature, 8);
    OFFSET(imgsim_cluster_labels_options, name, 16);
    OFFSET(imgsim_cluster_labels_options, cluster, 24);
    OFFSET(imgsim_cluster_labels_options, callback, 32);
    OFFSET(imgsim_cluster_labels_options, user_data, 40);
    OFFSET(imgsim_cluster_labels_options, dry_run, 48);
    OFFSET(imgsim_cluster_labels_options, reserved, 52);
    CHECK_EQUAL(sizeof(imgsim_cluster_labels_options), 56);

    OFFSET(imgsim_prediction, struct_size, 0);
    OFFSET(imgsim_prediction, id, 8);
    OFFSET(imgsim_prediction, label, 16);
    OFFSET(imgsim_prediction, share, 24);
    OFFSET(imgsim_prediction, distance, 32);
    OFFSET(imgsim_prediction, class_labels, 40);
    OFFSET(imgsim_prediction, class_shares, 48);
    OFFSET(imgsim_prediction, class_count, 56);
    CHECK_EQUAL(sizeof(imgsim_prediction), 64);

    OFFSET(imgsim_predict_report, struct_size, 0);
    OFFSET(imgsim_predict_report, labelled_count, 8);
    OFFSET(imgsim_predict_report, label_count, 16);
    OFFSET(imgsim_predict_report, asked_count, 24);
    OFFSET(imgsim_predict_report, predicted_count, 32);
    OFFSET(imgsim_predict_report, tried_count, 40);
    OFFSET(imgsim_predict_report, answered_count, 48);
    OFFSET(imgsim_predict_report, right_count, 56);
    CHECK_EQUAL(sizeof(imgsim_predict_report), 64);

    OFFSET(imgsim_predict_options, struct_size, 0);
    OFFSET(imgsim_predict_options, feature, 8);
    OFFSET(imgsim_predict_options, ids, 16);
    OFFSET(imgsim_predict_options, id_count, 24);
    OFFSET(imgsim_predict_options, callback, 32);
    OFFSET(imgsim_predict_options, user_data, 40);
    OFFSET(imgsim_predict_options, progress, 48);
    OFFSET(imgsim_predict_options, progress_data, 56);
    OFFSET(imgsim_predict_options, k, 64);
    OFFSET(imgsim_predict_options, threads, 68);
    OFFSET(imgsim_predict_options, min_share, 72);
    OFFSET(imgsim_predict_options, max_distance, 80);
    OFFSET(imgsim_predict_options, try_count, 88);
    OFFSET(imgsim_predict_options, store, 96);
    OFFSET(imgsim_predict_options, reserved, 100);
    OFFSET(imgsim_predict_options, by, 104);
    OFFSET(imgsim_predict_options, reserved2, 108);
    OFFSET(imgsim_predict_options, names_path, 112);
    CHECK_EQUAL(sizeof(imgsim_predict_options), 120);
    return 0;
}
