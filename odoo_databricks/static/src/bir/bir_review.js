/** @odoo-module **/

import {Component, useEffect, useRef} from "@odoo/owl";
import {FloatField, floatField} from "@web/views/fields/float/float_field";
import {MonetaryField, monetaryField} from "@web/views/fields/monetary/monetary_field";
import {X2ManyField, x2ManyField} from "@web/views/fields/x2many/x2many_field";
import {ListRenderer} from "@web/views/list/list_renderer";
import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

const fields = registry.category("fields");

/**
 * One row for each field of a bill line, under a heading row for the line. Rows do not open: the
 * decision is taken in the row itself.
 */
export class BirReviewRenderer extends ListRenderer {
    isHeading(record) {
        return record.data.display_type === "line_section";
    }
    getColumns(record) {
        const columns = super.getColumns(record);
        if (!this.isHeading(record)) {
            return columns;
        }
        const title = columns.find((column) => column.name === "name");
        return [{...title, colspan: columns.length}];
    }
    getRowClass(record) {
        let classes = super.getRowClass(record);
        if (this.isHeading(record)) {
            classes += " o_bir_heading";
        } else if (!record.data.applies) {
            classes += " o_bir_not_applicable";
        } else if (record.data.required && !record.data.decision) {
            classes += " o_bir_open";
        }
        return classes;
    }
    onCellClicked() {
        // The buttons in the row act; the row itself has no form.
    }
}

export class BirReviewField extends X2ManyField {}
BirReviewField.components = {...X2ManyField.components, ListRenderer: BirReviewRenderer};

fields.add("bir_review_one2many", {
    ...x2ManyField,
    component: BirReviewField,
    additionalClasses: [...(x2ManyField.additionalClasses || []), "o_field_one2many"],
});

class BirCell extends Component {
    get data() {
        return this.props.record.data;
    }
    get value() {
        return this.data[this.props.name] || "";
    }
}
BirCell.props = {...standardFieldProps};

export class BirLabel extends BirCell {}
BirLabel.template = "odoo_databricks.BirLabel";

export class BirProposal extends BirCell {}
BirProposal.template = "odoo_databricks.BirProposal";

/** Bar, word and icon: the level is never told by colour alone. */
export class BirConfidence extends BirCell {
    get percent() {
        // Cut, not rounded: 0.9496 must not look like the floor of 95 % that it missed.
        return Math.floor(this.data.confidence * 1000 + 1e-6) / 10;
    }
    get word() {
        return {high: _t("High"), medium: _t("Medium"), low: _t("Low")}[this.data.level];
    }
    get icon() {
        return {
            high: "fa-check-circle",
            medium: "fa-adjust",
            low: "fa-exclamation-triangle",
        }[this.data.level];
    }
    get colour() {
        return {high: "success", medium: "warning", low: "danger"}[this.data.level];
    }
}
BirConfidence.template = "odoo_databricks.BirConfidence";

export class BirReason extends BirCell {
    get source() {
        return {model: _t("Model"), rule: _t("Rule"), books: _t("Books")}[this.data.source];
    }
    get icon() {
        return {model: "fa-cogs", rule: "fa-balance-scale", books: "fa-book"}[this.data.source];
    }
}
BirReason.template = "odoo_databricks.BirReason";

export class BirDecision extends BirCell {
    get choices() {
        return [
            {
                value: "accept",
                icon: "fa-check",
                label: _t("Accept"),
                disabled: !this.data.proposed_value || this.data.locked,
            },
            {
                value: "keep",
                icon: "fa-hand-paper-o",
                label: _t("Keep mine"),
                // Nothing to keep decides nothing where a value is required.
                disabled: this.data.required && !this.data.current_display,
            },
            {value: "edit", icon: "fa-pencil", label: _t("Edit"), disabled: false},
        ];
    }
    async decide(choice, ev) {
        const row = ev.target.closest("tr");
        const byKeyboard = ev.detail === 0;
        const decision = this.data.decision === choice.value ? false : choice.value;
        await this.props.record.update({[this.props.name]: decision});
        if (byKeyboard && decision && decision !== "edit") {
            this.focusNextOpen(row);
        }
    }
    /** Who decides by keyboard lands on the next field that is still to be decided. */
    focusNextOpen(row) {
        for (let next = row.nextElementSibling; next; next = next.nextElementSibling) {
            if (next.classList.contains("o_bir_open")) {
                const accept = next.querySelector('button[data-decision="accept"]:enabled');
                (accept || next.querySelector('button[data-decision="edit"]')).focus();
                return;
            }
        }
    }
    /** Arrows walk through the rows, so that a bill can be decided without the mouse. */
    onKeydown(ev) {
        const step = {ArrowDown: 1, ArrowUp: -1}[ev.key];
        if (!step) {
            return;
        }
        ev.preventDefault();
        ev.stopPropagation();
        const value = ev.target.dataset.decision;
        const table = ev.target.closest("table");
        const buttons = [...table.querySelectorAll(`button[data-decision="${value}"]`)];
        const next = buttons[buttons.indexOf(ev.target) + step];
        if (next) {
            next.focus();
        }
    }
}
BirDecision.template = "odoo_databricks.BirDecision";

export class BirEdit extends BirCell {
    setup() {
        this.input = useRef("input");
        // Choosing "Edit" puts the cursor where the value is typed.
        useEffect(
            (editing) => {
                if (editing && this.input.el && !this.data.locked) {
                    this.input.el.focus();
                }
            },
            () => [this.data.decision === "edit"]
        );
    }
    get choices() {
        return this.data.choices || [];
    }
    async onChange(ev) {
        await this.props.record.update({[this.props.name]: ev.target.value});
    }
    onKeydown(ev) {
        ev.stopPropagation();
    }
}
BirEdit.template = "odoo_databricks.BirEdit";

fields.add("bir_label", {component: BirLabel, supportedTypes: ["char"]});
fields.add("bir_proposal", {component: BirProposal, supportedTypes: ["char"]});
fields.add("bir_confidence", {component: BirConfidence, supportedTypes: ["selection"]});
fields.add("bir_reason", {component: BirReason, supportedTypes: ["char"]});
fields.add("bir_decision", {component: BirDecision, supportedTypes: ["selection"]});
fields.add("bir_edit", {component: BirEdit, supportedTypes: ["char"]});

/** A number that nobody decided is shown as blank, never as 0.00. */
const optional = (Field) =>
    class extends Field {
        get formattedValue() {
            const decisions = this.props.record.data.bir_decisions || {};
            return this.props.name in decisions || this.props.record.data[this.props.name]
                ? super.formattedValue
                : "";
        }
    };
export const BirOptionalMonetary = optional(MonetaryField);
export const BirOptionalFloat = optional(FloatField);
fields.add("bir_optional_monetary", {...monetaryField, component: BirOptionalMonetary});
fields.add("bir_optional_float", {...floatField, component: BirOptionalFloat});
