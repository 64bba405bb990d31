# SPDX-License-Identifier: Apache-2.0
"""Every exported function has a prototype, every struct the size and the offsets that C gives it."""

import ctypes
import os
import re
import subprocess
import tempfile
import unittest

import support
from imgsim import native

STRUCTS = {
    "imgsim_progress": native.Progress, "imgsim_host_extractor": native.HostExtractor,
    "imgsim_file_info": native.FileInfo, "imgsim_feature_info": native.FeatureInfo,
    "imgsim_feature_definition": native.FeatureDefinition, "imgsim_scan_report": native.ScanReport,
    "imgsim_repair_report": native.RepairReport, "imgsim_check_report": native.CheckReport,
    "imgsim_pca_report": native.PcaReport,
    "imgsim_hit": native.HitStruct, "imgsim_part": native.PartStruct, "imgsim_quality": native.Quality,
    "imgsim_cluster_info": native.ClusterInfo, "imgsim_cluster_report": native.ClusterReport,
    "imgsim_prediction": native.Prediction, "imgsim_predict_report": native.PredictReport,
    "imgsim_search_stats": native.SearchStats,
}
STRUCTS.update({"imgsim_%s_options" % name: struct for name, struct in native.OPTIONS.items()})


class Bindings(unittest.TestCase):
    def test_every_exported_function_has_a_prototype(self):
        with open(os.path.join(support.SOURCE, "lib", "imgsim.map")) as file:
            exported = set(re.findall(r"^\s+(imgsim_\w+);", file.read(), re.M))
        self.assertEqual(exported, set(native.PROTOTYPES))

    def test_structs_agree_with_c(self):
        lines = ["#include <imgsim/imgsim.h>", "#include <stdio.h>", "int main(void) {"]
        for name, struct in STRUCTS.items():
            lines.append('printf("%s %%zu\\n", sizeof(%s));' % (name, name))
            for field, *_ in struct._fields_:
                lines.append('printf("%s.%s %%zu\\n", offsetof(%s, %s));' % (name, field, name, field))
        lines.append("return 0; }")
        with tempfile.TemporaryDirectory() as folder:
            source, program = os.path.join(folder, "sizes.c"), os.path.join(folder, "sizes")
            with open(source, "w") as file:
                file.write("\n".join(lines))
            subprocess.run([os.environ.get("CC", "cc"), "-I", os.path.join(support.SOURCE, "include"), source, "-o",
                            program], check=True)
            printed = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
        expected = dict(line.split() for line in printed.splitlines())
        found = {}
        for name, struct in STRUCTS.items():
            found[name] = str(ctypes.sizeof(struct))
            for field, *_ in struct._fields_:
                found["%s.%s" % (name, field)] = str(getattr(struct, field).offset)
        self.assertEqual(expected, found)

    def test_every_public_struct_is_bound(self):
        text = ""
        folder = os.path.join(support.SOURCE, "include", "imgsim")
        for header in os.listdir(folder):
            with open(os.path.join(folder, header)) as file:
                text += file.read()
        self.assertEqual(set(re.findall(r"^typedef struct (\w+) \{", text, re.M)), set(STRUCTS))

    def test_errors_carry_status_and_message(self):
        with self.assertRaisesRegex(native.Error, "unknown|nearest") as caught:
            import imgsim
            imgsim.metric_code("cosinus")
        self.assertEqual(caught.exception.status, -1)


if __name__ == "__main__":
    support.main()
